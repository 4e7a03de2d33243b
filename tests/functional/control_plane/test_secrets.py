"""No secret is found where none belongs: logs, store, messages, answers, agents' files."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_messaging._drivers.impl_fake import FakeDriver

from tests.functional.control_plane.chaos import Lab, laboratory
from trove_ng.common.tracebacks import WithoutTexts
from trove_ng.conf import base as base_conf
from trove_ng.db.session import Database
from trove_ng.operations.runbooks import create_instance
from trove_ng.rpc.notifier import is_on

#: what a user or an operator hands to the service
WORDS = {name: f"canary-{number}-Zx9Q{number * 7919}" for number, name in enumerate((
    "password of a new instance's user", "password of a new user", "a changed password",
    "an updated password", "password of root", "the user's token",
    "password of a request that is refused", "password that the database refuses",
    "password of a create that fails", "password in an error of the API",
    "password in an error of the taskmanager", "password of the service user",
    "contents of a module"))}


_TOKEN = "the user's token"


class Watch:
    """Everything that could show a secret, collected while the service works."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.words = dict(WORDS)
        self.log = io.StringIO()
        self.messages: list[str] = []
        self.answers: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, shows: bool = False) -> Any:
        """Send a request with the user's token.

        :param shows: the answer is one of those that show a password on purpose
        """
        answer = self.lab.plane.request(
            method, path, body, token=f"admin:{WORDS[_TOKEN]}")
        if not shows:
            self.answers.append(f"{method} {path}: {answer.headers} {answer.text}")
        return answer

    def learn(self) -> None:
        """Add the secrets that the service made itself."""
        agents, plane = self.lab.agents, self.lab.plane
        for number, info in enumerate(agents._info.values()):
            self.words[f"message key of guest {number}"] = info["instance_rpc_encr_key"]
        for disk in agents.disks.values():
            for number, grant in enumerate(disk.grants):
                assert grant.put_query is not None
                for query in (grant.get_query, grant.put_query):
                    fields = dict(pair.split("=") for pair in query.reveal().split("&"))
                    self.words[f"signature {number} {query.reveal()[:20]}"] = fields[
                        "temp_url_sig"]
        self.words["control plane's key"] = plane.conf.taskmanager_rpc_encr_key[0]
        self.words["key of the store"] = plane.conf.inst_rpc_key_encr_key[0]
        self.words["token of the service user"] = plane.tools.clouds._clients.session.get_token()

    def found(self) -> dict[str, list[str]]:
        """Return place → names of the secrets that are in it."""
        with self.lab.plane.db.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            store = "\n".join(raw.iterdump())
        places = {"log": self.log.getvalue(), "store": store,
                  "messages": "\n".join(self.messages), "answers": "\n".join(self.answers)}
        for server, disk in self.lab.agents.disks.items():
            places[f"files of {server}"] = "\n".join(
                file.read_text() for file in disk.folder.rglob("*") if file.is_file())
            places[f"console of {server}"] = self.lab.agents.console_log(server)
        # a tenant's own objects; the guests' user data is not the tenant's to see
        places["servers"] = json.dumps([
            {name: value for name, value in one.items() if name != "user_data"}
            for one in self.lab.plane.minicloud.store.list("server")])
        assert all(places[name] for name in ("log", "store", "messages", "answers"))
        forms_of = {name: shapes(word) for name, word in self.words.items()}
        return {place: hits for place, text in places.items() if (hits := [
            name for name, forms in forms_of.items() if any(one in text for one in forms)])}


def shapes(word: str) -> set[str]:
    """Return a secret as it is, and as it looks inside of base64, once and twice."""
    found = {word}
    for _ in range(2):
        found |= {_inside(one, shift) for one in found for shift in range(3)}
    return found


def _inside(word: str, shift: int) -> str:
    """Return what is constant of a word's base64 when it begins at such a place."""
    text = base64.b64encode(b"\0" * shift + word.encode()).decode()
    return text[(0, 2, 3)[shift]:len(text.rstrip("=")) - 3]


@pytest.fixture
def watch(conf: cfg.ConfigOpts, database: Database, tmp_path: Path,
          monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    conf.set_override("password", WORDS["password of the service user"],
                      group="service_credentials")
    for method in ("get", "post", "put", "delete"):
        conf.set_override(f"http_{method}_rate", 0)
    # what other services are told stays in the store, which is searched
    assert not is_on(conf)
    conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
    send = FakeDriver.send
    with laboratory(conf, database, tmp_path) as lab:
        made = Watch(lab)

        def sniff(driver: Any, target: Any, ctxt: Any, message: Any, *args: Any,
                  **more: Any) -> Any:
            answer = send(driver, target, ctxt, message, *args, **more)
            made.messages.append(json.dumps([str(target), ctxt, message, answer]))
            return answer

        monkeypatch.setattr(FakeDriver, "send", sniff)
        with as_services_log(made.log):
            yield made


class as_services_log:  # noqa: N801  reads as a phrase
    """Log at DEBUG, with what conf.base sets for every service."""

    def __init__(self, stream: io.StringIO) -> None:
        self._handler = logging.StreamHandler(stream)
        self._handler.addFilter(WithoutTexts())
        self._before: dict[str, int] = {}

    def __enter__(self) -> None:
        for name, level in (one.split("=") for one in base_conf.QUIET_LIBRARIES):
            self._before[name] = logging.getLogger(name).level
            logging.getLogger(name).setLevel(level)
        root = logging.getLogger()
        self._before[""] = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self._handler)

    def __exit__(self, *_raised: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        for name, level in self._before.items():
            logging.getLogger(name or None).setLevel(level)


def _user(name: str, word: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "password": WORDS[word], "databases": [], **more}


def _life(watch: Watch) -> str:
    """Use every way in which a secret comes in, and succeed."""
    lab = watch.lab
    made = watch.ask("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb", "version": "10.11"},
        "users": [_user("app", "password of a new instance's user")]}})
    ident = str(made.json["instance"]["id"])
    lab.idle(ident)
    users = f"/instances/{ident}/users"
    assert watch.ask("POST", users, {"users": [
        _user("one", "password of a new user")]}).status_int == 202
    assert watch.ask("PUT", users, {"users": [
        {"name": "one", "password": WORDS["a changed password"]}]}).status_int == 202
    assert watch.ask("PUT", f"{users}/one", {"user": {
        "password": WORDS["an updated password"]}}).status_int == 202
    shown = watch.ask("POST", f"/instances/{ident}/root", {
        "password": WORDS["password of root"]}, shows=True)
    assert shown.json["user"]["password"] == WORDS["password of root"]
    contents = base64.b64encode(WORDS["contents of a module"].encode()).decode()
    for kind, status in (("ping", 200), ("none", 400)):
        module = {"name": "m", "module_type": kind, "contents": contents}
        assert watch.ask("POST", "/modules", {"module": module}).status_int == status
    watch.ask("GET", "/modules")
    lab.act(ident, {"restart": {}})
    lab.backup(ident)
    for path in ("", "/instances", f"/instances/{ident}", users, f"{users}/one", "/backups",
                 f"/instances/{ident}/root", f"/mgmt/instances/{ident}", "/nothing"):
        watch.ask("GET", path)
    return ident


def _failures(watch: Watch, ident: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests fail in every part, each with a password in it."""
    users, refused = f"/instances/{ident}/users", "password of a request that is refused"
    word = WORDS[refused]
    for user in (
            _user("", refused), _user("x" * 999, refused), _user("ok", refused, host="not a host"),
            _user("ok", refused, databases=word), _user("ok", refused, more=word),
            {"name": "ok", "password": [word]}, {"name": "ok", "password": {"a": word}},
            {"name": "ok", "password": word * 50}, {"name": "ok", "password": word + "\0"},
            {"password": word}):
        for method in ("POST", "PUT"):
            assert 400 <= watch.ask(method, users, {"users": [user]}).status_int < 500
    for body in ({"users": word}, {"user": {"password": word}}, {"x": word}, word, [word]):
        assert 400 <= watch.ask("POST", users, body).status_int < 500
    for path in (f"{users}/nobody", "/instances/unknown/users"):
        watch.ask("PUT", path, {"user": {"password": word, "name": "x" * 999}})
    watch.ask("POST", f"/instances/{ident}/root", {"password": {"deep": word}})
    watch.ask("POST", "/instances", {"instance": {
        "name": "bad", "flavorRef": "none", "volume": {"size": 1},
        "users": [_user("app", refused)], "more": word}})
    answer = watch.ask("POST", users, {"users": [
        _user("boom", "password that the database refuses")]})
    assert answer.status_int == 422
    with monkeypatch.context() as patch:
        patch.setattr("trove_ng.api.handlers.statements.users", _raise(
            WORDS["password in an error of the API"]))
        assert watch.ask("POST", users, {"users": [
            _user("ok", "password in an error of the API")]}).status_int == 500


def _raise(text: str) -> Any:
    def fail(*_args: Any, **_more: Any) -> Any:
        try:
            raise KeyError(text)
        except KeyError as err:
            raise RuntimeError(f"cannot use {text}") from err
    return fail


def _failed_creates(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have creates fail in the guest, in the cloud, and in the taskmanager."""
    lab = watch.lab

    def create(user: dict[str, Any]) -> None:
        answer = watch.ask("POST", "/instances", {"instance": {
            "name": "fails", "flavorRef": "1", "volume": {"size": 1},
            "datastore": {"type": "mariadb"}, "users": [user]}})
        ident = str(answer.json["instance"]["id"])
        shown = lab.plane.wait(ident, "ERROR", seconds=60)
        assert shown["fault"]["message"]
        watch.ask("GET", f"/instances/{ident}")
        watch.ask("GET", f"/mgmt/instances/{ident}")
        watch.ask("DELETE", f"/instances/{ident}")
        lab.plane.wait_gone(f"/instances/{ident}", 60)

    create(_user("boom", "password of a create that fails"))
    lab.plane.minicloud.faults.add({"kind": "error", "service": "volume", "method": "POST",
                                    "path": "volumes$", "status": 400, "times": 1})
    create(_user("app", "password of a create that fails"))
    with monkeypatch.context() as patch:
        patch.setattr(create_instance, "_request", _raise(
            WORDS["password in an error of the taskmanager"]))
        create(_user("app", "password in an error of the taskmanager"))


def test_no_secret_is_found_where_none_belongs(
        watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = _life(watch)
    _failures(watch, ident, monkeypatch)
    _failed_creates(watch, monkeypatch)
    watch.learn()
    assert len(watch.words) > len(WORDS) + 5
    assert watch.found() == {}


def test_the_search_finds_what_is_there(watch: Watch) -> None:
    name, word = next(iter(WORDS.items()))
    logging.getLogger("trove_ng.any").debug("x%sx", word)
    watch.messages.append(word)
    watch.answers.append(base64.b64encode(f"ab{word}c".encode()).decode())
    watch.lab.plane.create(name=word)
    assert set(watch.found()) >= {"log", "messages", "answers", "store"}
    assert all(hits == [name] for hits in watch.found().values())
