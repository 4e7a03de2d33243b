"""No secret is found where none belongs, with the real processes, at DEBUG."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import psutil
import pytest

from tests.integration.cloud import AllInOne, connect, rows
from tests.integration.processes import restart, root_of
from trove_ng.common.crypto import SecretBox
from trove_ng.db.repositories import instance_keys

WORDS = {name: f"canary-{number}-Yv5{number * 7919}" for number, name in enumerate((
    "password of a new instance's user", "password of a new user", "a changed password",
    "password of root", "password of a request that is refused"))}
#: the contents of a module, and how they are sent
LICENCE = f"canary{5}Yv{5 * 107919}"  # not as it is: servers may see the folder of the tests
CONTENTS = base64.b64encode(f"license_key={LICENCE}\n".encode()).decode()
WORDS |= {"licence of a module": LICENCE, "contents of a module": CONTENTS}
TRANSFER_KEY = "canary-transfer-Yv71263"
#: where a guest keeps what is its own
GUESTS = ("etc", "run", "tmp", "var/lib/mysql/.trove", "var/lib/trove-guestagent", "var/tmp")


@pytest.fixture(scope="module")
def debugging(cloud: AllInOne) -> Iterator[AllInOne]:
    """The all-in-one, and guests that are made from now on, with DEBUG; backups encrypted."""
    services_conf = cloud.state_dir / "etc" / "trove.conf.d" / "debug.conf"
    guests_conf = cloud.state_dir / "etc" / "trove-guestagent.conf"
    before = guests_conf.read_text()
    services_conf.write_text("[DEFAULT]\ndebug = true\nbackup_encryption = true\n"
                             f"backup_transfer_keys = {TRANSFER_KEY}\n")
    guests_conf.write_text(before + "\n[DEFAULT]\ndebug = true\n")
    restart(cloud)
    yield cloud
    services_conf.unlink()
    guests_conf.write_text(before)
    restart(cloud)


class Sampler:
    """Reads command line and environment of all processes, as any user's ``ps`` could."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._own = psutil.Process()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.05):
            # the clients of this test have the user's password in their environment
            mine = {one.pid for one in self._own.children(recursive=True)} | {self._own.pid}
            for entry in os.listdir("/proc"):
                if entry.isdigit() and int(entry) not in mine:
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            text = Path("/proc", entry, name).read_bytes()
                            self.seen.add(text.decode(errors="replace"))


class Sniffer:
    """A queue that gets a copy of every message of the services' exchange."""

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(url.replace("rabbit:", "amqp:"))
        self._queue = kombu.Queue(
            "sniffer", kombu.Exchange("openstack", "topic", passive=True), "#",
            exclusive=True)(self._connection.default_channel)
        self._queue.declare()

    def messages(self) -> list[str]:
        found = []
        while (one := self._queue.get(no_ack=True)) is not None:
            found.append(one.body if isinstance(one.body, str) else bytes(one.body).decode(
                errors="replace"))
        self._connection.release()
        return found


def option(path: Path, name: str) -> str:
    """Return an option's value from a configuration file."""
    line, = [one for one in path.read_text().splitlines() if one.startswith(f"{name} = ")]
    return line.split(" = ", 1)[1].replace("$$", "$")


def work(cloud: AllInOne) -> tuple[str, str, list[str]]:
    """Use every way in; return the instance, the agent's log, and the API's answers."""
    rest, answers = cloud.rest(), []

    def ask(method: str, path: str, body: Any = None, shows: bool = False) -> Any:
        answer = rest.request(method, path, json=body, check=False)
        if not shows:
            answers.append(f"{method} {path} {answer.headers} {answer.text}")
        return answer

    def user(name: str, word: str) -> dict[str, Any]:
        return {"name": name, "password": WORDS[word], "databases": []}

    made = ask("POST", "/instances", {"instance": {
        "name": "secrets", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb"},
        "users": [user("app", "password of a new instance's user")]}})
    ident = str(made.json()["instance"]["id"])
    cloud.wait_status(ident, "ACTIVE", 180)
    users = f"/instances/{ident}/users"
    assert ask("POST", users, {"users": [user("one", "password of a new user")]}).ok
    assert ask("PUT", users, {"users": [
        {"name": "one", "password": WORDS["a changed password"]}]}).ok
    shown = ask("POST", f"/instances/{ident}/root", {
        "password": WORDS["password of root"]}, shows=True)
    assert shown.json()["user"]["password"] == WORDS["password of root"]
    refused = "password of a request that is refused"
    assert ask("POST", users, {"users": [user("one", refused)]}).status_code == 409
    assert ask("POST", users, {"users": [user("x" * 500, refused)]}).status_code == 400
    assert ask("PUT", users, {"users": [
        {"name": "nobody", "password": WORDS[refused]}]}).status_code == 404
    backup = ask("POST", "/backups", {"backup": {"name": "b", "instance": ident}}).json()
    cloud.wait_backup(backup["backup"]["id"])
    for path in (f"/instances/{ident}", users, "/backups", "/instances"):
        ask("GET", path)
    module = ask("POST", "/modules", {"module": {
        "name": "licence", "module_type": "new_relic_license", "contents": CONTENTS}}).json()
    applied = ask("POST", f"/instances/{ident}/modules", {
        "modules": [{"id": module["module"]["id"]}]}).json()
    # New Relic's agent is not there, but the module is
    assert "not installed" in applied["modules"][0]["message"]
    ask("GET", f"/instances/{ident}/modules")
    root = root_of(ident)
    log = "\n".join(text for _, text in files(root / "var/log"))
    kept = [(path, path.stat().st_mode) for name in GUESTS for path, text in files(root / name)
            if LICENCE in text]
    assert any("/.trove/" in str(path) for path, _ in kept)
    assert [path for path, mode in kept if mode & 0o077] == []
    ask("DELETE", f"/instances/{ident}")
    cloud.wait_gone(ident)
    ask("DELETE", f"/backups/{backup['backup']['id']}")
    return ident, log, answers


def files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what is below a folder, with its text."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_text(errors="replace")


def guests_key(cloud: AllInOne, secret: str, sniffed: dict[str, str]) -> None:
    """Remember the guests' keys while they are in the store."""
    box = SecretBox([secret], instance_keys.PURPOSE)
    with contextlib.closing(sqlite3.connect(cloud.state_dir / "trove.sqlite")) as store:
        for ident, sealed in store.execute(
                "SELECT instance_id, encrypted_key FROM instance_keys"):
            sniffed[f"message key of {ident}"] = box.open(sealed, ident)


def test_no_secret_is_found_where_none_belongs(debugging: AllInOne) -> None:
    cloud = debugging
    conf = cloud.state_dir / "etc" / "trove.conf"
    url = option(conf, "transport_url")
    words = dict(WORDS)
    credentials = json.loads((cloud.state_dir / "etc" / "credentials.json").read_text())
    words |= {f"credential {name}": text for name, text in credentials.items()}
    words["key of backups' keys"] = TRANSFER_KEY
    words["token of the user"] = str(cloud.rest().session.headers["X-Auth-Token"])
    sniffer, keys, end = Sniffer(url), {}, threading.Event()

    def watch_keys() -> None:
        while not end.wait(0.5):
            guests_key(cloud, credentials["instance_key"], keys)

    watcher = threading.Thread(target=watch_keys)
    watcher.start()
    try:
        with Sampler() as sampler:
            ident, agent, answers = work(cloud)
    finally:
        end.set()
        watcher.join()
    assert f"message key of {ident}" in keys
    words |= keys
    with contextlib.closing(sqlite3.connect(cloud.state_dir / "trove.sqlite")) as store:
        dump = "\n".join(store.iterdump())
    places = {
        "answers": "\n".join(answers), "guest": agent, "store": dump,
        "messages": "\n".join(sniffer.messages()), "processes": "\n".join(sampler.seen)}
    for file, text in files(cloud.state_dir / "log"):
        places[f"log {file.name}"] = text
    for name in ("answers", "guest", "store", "messages", "processes", "log trove-api.log",
                 "log trove-taskmanager.log", "log trove-conductor.log"):
        assert places[name], name
    assert "DEBUG" in places["guest"]
    assert "DEBUG" in places["log trove-api.log"]
    found = {place: hits for place, text in places.items()
             if (hits := [name for name, word in words.items() if word in text])}
    assert found == {}


def forget_backup(cloud: AllInOne, ident: str) -> None:
    """Let the store know nothing of a backup any more, as that of another service does."""
    with contextlib.closing(sqlite3.connect(
            cloud.state_dir / "trove.sqlite", timeout=30)) as store, store:
        changed = store.execute(
            "UPDATE backups SET deleted = 1, tenant_id = 'gone', sealed_key = NULL "
            "WHERE id = ? AND sealed_key IS NOT NULL", (ident,))
        assert changed.rowcount == 1


def test_an_encrypted_backup_of_another_service_is_restored(debugging: AllInOne) -> None:
    cloud, rest = debugging, debugging.rest()

    def create(name: str, **more: Any) -> tuple[str, str]:
        made = rest.post("/instances", {"instance": {
            "name": name, "flavorRef": "1", "volume": {"size": 1},
            "datastore": {"type": "mariadb"}, **more}}).json()["instance"]["id"]
        return made, cloud.wait_status(made, "ACTIVE", 180)["ip"][0]

    source, address = create("source", databases=[{"name": "shop"}], users=[
        {"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}])
    connection = connect(address, "app", "app-Pw1", "shop")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(64))")
        cursor.execute("INSERT INTO t VALUES (1, 'a row that nobody else reads')")
    connection.commit()
    before = rows(connection, "SELECT * FROM t")
    backups = []
    for incremental in (0, 1):
        made = rest.post("/backups", {"backup": {
            "name": "b", "instance": source, "incremental": incremental}}).json()["backup"]
        backups.append(cloud.wait_backup(made["id"]))
        cloud.wait_operations(made["id"])
    connection.close()
    assert backups[1]["parent_id"] == backups[0]["id"]
    for one in backups:
        forget_backup(cloud, one["id"])
    taken = rest.post("/backups", {"backup": {"name": "taken", "restore_from": {
        "remote_location": backups[1]["locationRef"], "size": 1,
        "local_datastore_version_id": backups[1]["datastore"]["version_id"]}}}).json()["backup"]
    taken = cloud.wait_backup(taken["id"], "RESTORED")
    restored, address = create("restored", restorePoint={"backupRef": taken["id"]})
    connection = connect(address, "app", "app-Pw1", "shop")
    assert rows(connection, "SELECT * FROM t") == before
    connection.close()
    rest.request("DELETE", f"/backups/{taken['parent_id']}")
    for ident in (source, restored):
        rest.request("DELETE", f"/instances/{ident}")
        cloud.wait_gone(ident)
