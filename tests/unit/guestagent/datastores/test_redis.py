"""What the agent writes for Redis, and reads of what it says; without a server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis._parsers.helpers import parse_info

from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret
from trove_ng.guestagent import replicas
from trove_ng.guestagent.datastores.experimental.redis import backup, causes, replication
from trove_ng.guestagent.datastores.experimental.redis import config as redis_config
from trove_ng.guestagent.datastores.experimental.redis.access import (
    Access,
    Source,
    digest,
    root_of,
)
from trove_ng.guestagent.datastores.experimental.redis.config import (
    Configuration,
    as_lines,
    as_text,
)
from trove_ng.guestagent.datastores.experimental.redis.paths import Paths
from trove_ng.guestagent.replicas import LastWord
from trove_ng.guestagent.tls import TlsFiles


@pytest.fixture
def access(tmp_path: Path) -> Access:
    made = Access(lambda: tmp_path / "mount/.trove/redis.json")
    made.renew()
    return made


@pytest.fixture
def configuration(tmp_path: Path, access: Access,
                  monkeypatch: pytest.MonkeyPatch) -> Configuration:
    # the server's user is not on every machine
    monkeypatch.setattr(redis_config, "OWNER", None)
    made = Configuration(Paths(config=str(tmp_path / "redis.conf"),
                               changes=str(tmp_path / "changes"), mount="/m"))
    made.write({"redis": {"maxmemory": 100, "maxclients": 50}}, {}, access.settings(), "")
    return made


def lines(tmp_path: Path, name: str) -> list[str]:
    return [line for line in (tmp_path / "redis.conf").read_text().splitlines()
            if line.split(" ")[0] == name]


@pytest.mark.parametrize(("value", "text"), [
    (True, "yes"), (False, "no"), (5, "5"), (1.5, "1.5"), ("a b", "a b"), (["a", 1], "a 1"),
    ("", "")])
def test_values_as_the_server_takes_them(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_values_as_the_file_takes_them() -> None:
    assert as_lines({"save": "900 1 60 5000", "timeout": 5, "appendonly": True,
                     "notify-keyspace-events": "",
                     "client-output-buffer-limit normal": "1 2 3",
                     "client-output-buffer-limit slave": "4 5 6"}) == {
        "save": [["900", "1"], ["60", "5000"]], "timeout": ["5"], "appendonly": ["yes"],
        "notify-keyspace-events": [""],
        "client-output-buffer-limit": [["normal", "1", "2", "3"], ["slave", "4", "5", "6"]]}


def test_users_settings_stand_over_those_of_the_memory(configuration: Configuration,
                                                       tmp_path: Path) -> None:
    assert lines(tmp_path, "save") == ["save 3600 1", "save 300 100", "save 60 10000"]
    assert configuration.saves() == "3600 1 300 100 60 10000"
    configuration.set_overrides({"maxmemory": 7, "save": "",
                                 "client-output-buffer-limit normal": "1 2 3"})
    assert lines(tmp_path, "maxmemory") == ["maxmemory 7"]
    assert lines(tmp_path, "save") == ['save ""']
    assert configuration.saves() == ""
    assert lines(tmp_path, "client-output-buffer-limit") == [
        "client-output-buffer-limit normal 1 2 3"]
    assert configuration.overrides() == {
        "maxmemory": "7", "save": "", "client-output-buffer-limit normal": "1 2 3"}
    assert configuration.without_overrides()["maxmemory"] == "100"
    assert configuration.without_overrides()["save"] == "3600 1 300 100 60 10000"
    configuration.apply_computed({"redis": {"maxmemory": 200}})
    configuration.set_overrides({})
    assert lines(tmp_path, "maxmemory") == ["maxmemory 200"]
    assert configuration.overrides() == {}


def test_what_the_agent_says_stands_over_all(configuration: Configuration,
                                             tmp_path: Path) -> None:
    configuration.set_overrides({"appendonly": True})
    assert configuration.is_on("appendonly")
    configuration.begin_loading()
    assert (configuration.is_on("appendonly"), configuration.is_loading()) == (False, True)
    assert lines(tmp_path, "appendonly") == ["appendonly no"]
    configuration.end_loading()
    assert (configuration.is_on("appendonly"), configuration.is_loading()) == (True, False)


def test_the_agents_password_is_not_in_the_file(configuration: Configuration, access: Access,
                                                tmp_path: Path) -> None:
    text = (tmp_path / "redis.conf").read_text()
    secrets = access.secrets()
    assert secrets.password.reveal() not in text
    assert f"rename-command CONFIG {secrets.config_name.reveal()}" in text
    assert secrets.password.reveal() not in repr(secrets)
    assert "nopass" in text
    access.set_root(Secret("pw"))
    configuration.set_access(access.settings())
    text = (tmp_path / "redis.conf").read_text()
    assert "nopass" not in text
    assert digest(Secret("pw")) in text
    access.set_root(None)
    configuration.set_access(access.settings())
    assert "nopass" in (tmp_path / "redis.conf").read_text()


def test_replicas_have_users_of_their_own_for_nothing_but_replication(
        configuration: Configuration, access: Access, tmp_path: Path) -> None:
    access.change(replicas={"os_replica_1": digest(Secret("pw"))})
    configuration.set_access(access.settings())
    assert lines(tmp_path, "user")[2].split()[1:] == [
        "os_replica_1", "reset", "on", digest(Secret("pw")), "+psync", "+replconf", "+ping",
        "+acl|getuser"]


def test_a_replica_lets_nobody_in_until_its_source_says_who_may(
        configuration: Configuration, access: Access, tmp_path: Path) -> None:
    access.renew(None, closed=True)
    assert access.rules()[:2] == ["reset", "off"]
    access.change(closed=False, root="#abc", source=Source("1.2.3.4", 6379, "u", Secret("pw")))
    assert access.secrets().source == Source("1.2.3.4", 6379, "u", Secret("pw"))
    configuration.set_access(access.settings())
    assert access.rules()[:3] == ["reset", "on", "#abc"]
    assert [lines(tmp_path, name) for name in ("replicaof", "masteruser", "masterauth")] == [
        ["replicaof 1.2.3.4 6379"], ["masteruser u"], ["masterauth pw"]]


def test_a_source_tells_who_may_come_in() -> None:
    assert root_of(["flags", ["on", "nopass"], "passwords", [], "commands", ""]) is None
    assert root_of(["flags", ["on"], "passwords", ["ab"], "commands", ""]) == "#ab"
    with pytest.raises(GuestError, match="nobody"):
        root_of(["flags", ["off"], "passwords", []])


@pytest.mark.parametrize("content", [None, "", "{}", '{"password": "x"}', "[]"])
def test_secrets_that_are_not_there_are_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "redis.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GuestError, match="no account"):
        Access(lambda: path).secrets()


BEGIN = "1:C 1 Jan 2026 00:00:00.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n"


@pytest.mark.parametrize(("text", "cause"), [
    ("# Short read or OOM loading DB. Unrecoverable error, aborting now.",
     "the files of the database are damaged."),
    ("# Wrong signature trying to load DB from file", "the files of the database are damaged."),
    (">>> 'nonsense 1'\nBad directive or wrong number of arguments",
     "its configuration is refused."),
    (">>> 'dir \"/x\"'\nNo such file or directory", "its directory is missing."),
    ("# Could not create server TCP listening socket *:1: bind: Address already in use",
     "its port is in use."),
    ("# Write error saving DB on disk: No space left on device", "the disk is full."),
    ("# Redis 7.0.15 crashed by signal: 11", "it crashed."),
    ("# all is well", ""), ("", "")])
def test_why_it_failed(text: str, cause: str) -> None:
    assert causes.find(BEGIN + text) == cause


def test_what_an_earlier_life_said_is_no_news() -> None:
    assert causes.find(f"No space left on device\n{BEGIN}* fine\n") == ""
    assert causes.find(f"{BEGIN}No space left on device\n* Ready to accept connections\n") == ""


@pytest.mark.parametrize("solved", [
    "* Background saving terminated with success",
    "* Background AOF rewrite terminated with success",
    "# AOF write error looks solved, Redis can write again."])
def test_what_could_be_written_later_is_no_news(solved: str) -> None:
    failed = "# Write error saving DB on disk(rdbSaveRio): No space left on device\n"
    assert causes.find(f"{BEGIN}{failed}") == "the disk is full."
    assert causes.find(f"{BEGIN}{failed}{solved}\n") == ""
    assert causes.find(f"{BEGIN}{solved}\n{failed}# Background saving error\n") == (
        "the disk is full.")


@pytest.mark.parametrize(("mode", "port", "clients"), [
    ("basic", "6379", "no"), ("enforced", "0", "no"), ("mtls", "0", "yes")])
def test_who_comes_in_with_and_without_tls(configuration: Configuration, tmp_path: Path,
                                           mode: str, port: str, clients: str) -> None:
    settings = configuration.set_tls(TlsFiles(mode, *(
        Path("/m/tls/live", one) for one in ("c.pem", "k.pem", "a.pem"))))
    wanted = {"port": port, "tls-port": "6380", "tls-auth-clients": clients,
              "tls-cert-file": "/m/tls/live/c.pem", "tls-key-file": "/m/tls/live/k.pem",
              "tls-ca-cert-file": "/m/tls/live/a.pem"}
    assert settings == wanted
    # the other port is closed when this one is open
    assert [*settings][-2:] == ["tls-port", "port"]
    for name, value in wanted.items():
        assert lines(tmp_path, name) == [f"{name} {value}"]
    assert configuration.set_tls(None) == {"port": "6379", "tls-port": "0"}
    assert lines(tmp_path, "port") == ["port 6379"]
    assert lines(tmp_path, "tls-port") == []


@pytest.mark.parametrize(("synced", "waits"), [(True, False), (False, True)])
def test_only_one_that_had_no_data_is_waited_for_while_it_copies(
        access: Access, monkeypatch: pytest.MonkeyPatch, *, synced: bool, waits: bool) -> None:
    monkeypatch.setattr(replication, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(replication, "_POLL_SECONDS", 0.01)
    access.change(synced=synced)
    asked: list[str] = []

    class Copying:
        """A session of a server that copies the data of its source."""

        def info(self, section: str) -> dict[str, Any]:
            asked.append(section)
            return {"master_link_status": "down", "master_sync_in_progress": 1}

    # nothing else is asked of a server
    session, nothing = cast("Any", Copying()), cast("Any", None)
    replication.Replication(access, nothing, nothing, nothing, nothing)._wait(session)
    assert (len(asked) > 1, access.secrets().synced) == (waits, synced)


def test_a_snapshot_is_read_with_no_more_rights_than_the_server_has(
        monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(backup.commands, "run",
                        lambda argv, **how: asked.append((argv, how)))
    backup.look_through(Path("/s.rdb"), 9)
    assert asked == [(["redis-check-rdb", "/s.rdb"], {"timeout": 9, "user": "redis"})]


#: as servers of 7.0 say it, and of 6.2, without the second line
FOLLOWS = """# Replication
slave_read_repl_offset:7
role:slave
master_host:127.0.0.1
master_port:6379
master_link_status:up
master_last_io_seconds_ago:1
master_sync_in_progress:0
slave_repl_offset:7
slave_priority:100
slave_read_only:1
connected_slaves:0
master_replid:aaaa
master_replid2:bbbb
master_repl_offset:7
"""
LOST = FOLLOWS.replace("status:up", "status:down").replace("seconds_ago:1", "seconds_ago:-1")
COPIES = LOST.replace("progress:0", "progress:1").replace("slave_repl_offset:7",
                                                          "slave_repl_offset:1")
#: the link with a source whose machine is gone
QUIET = FOLLOWS.replace("seconds_ago:1", "seconds_ago:3")
HALTED = FOLLOWS.replace("role:slave", "role:master")
HEARS = {"lag": 1, "position": "aaaa:7", "connected": True, "applies": True, "last_lag": 1,
         "progress": 7, "history": "aaaa"}
HEARD_NOTHING = {**HEARS, "lag": None, "connected": False, "last_lag": None}
STARVES, IS_COPYING = "does not get changes", "copies the data"


def replica(access: Access, port: int = 1, *, synced: bool = True) -> replication.Replication:
    """Return a replica of a server that would be here, at a port."""
    word = LastWord(access._path().parent)
    access.change(source=Source("127.0.0.1", port, "u", Secret("pw")), synced=synced)
    # nothing else is asked of a server
    nothing = cast("Any", None)
    return replication.Replication(access, nothing, nothing, nothing, word)


def look(one: replication.Replication, text: str, run: str = "r") -> str:
    """Have a replica look at what its server says; return what is wrong."""
    secrets = one._access.secrets()
    assert secrets.source is not None
    one.state = {}
    return one._see(parse_info(text), secrets.source, synced=secrets.synced, run=run)


def passes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have some time pass."""
    up = replicas._up() + seconds
    monkeypatch.setattr(replicas, "_up", lambda: up)


@pytest.fixture
def living() -> Iterator[int]:
    """The port of a server that refuses whoever asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as client:
                        client.sendall(b"-NOAUTH\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        # whoever accepts does not see that it is closed
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(("text", "why", "told"), [
    (FOLLOWS, "", HEARS), (LOST, STARVES, HEARD_NOTHING),
    # a source that sends nothing, and answers, is heard
    (QUIET, "", {**HEARS, "lag": 3, "last_lag": 3}),
    (COPIES, IS_COPYING, {**HEARD_NOTHING, "position": "aaaa:1", "progress": 1}),
    (HALTED, STARVES, {})])
def test_a_replica_tells_how_far_it_is(access: Access, living: int, text: str, why: str,
                                       told: dict[str, Any]) -> None:
    one = replica(access, living)
    found = look(one, text)
    assert (why in found, bool(found)) == (True, bool(why))
    assert one.state == told


def test_a_replica_that_never_had_its_source_s_data_tells_of_none(
        access: Access, living: int) -> None:
    one = replica(access, living, synced=False)
    look(one, LOST)
    assert one.state == {"lag": None, "position": "aaaa:7", "connected": False, "applies": False,
                         "last_lag": None}
    # it has them as soon as it follows
    look(one, FOLLOWS)
    assert one.state == HEARS


@pytest.mark.parametrize("text", [LOST, COPIES, QUIET])
def test_a_source_that_answers_is_not_lost(access: Access, living: int, text: str,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    one = replica(access, living)
    look(one, FOLLOWS)
    passes(monkeypatch, 7)
    look(one, text)
    assert "unheard" not in one.state


@pytest.mark.parametrize("text", [LOST, COPIES, QUIET])
def test_a_replica_tells_since_when_it_does_not_hear_a_source_that_is_gone(
        access: Access, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replica(access)
    assert look(one, text)
    assert "unheard" not in one.state, "it never heard it"
    assert look(one, FOLLOWS) == ""
    passes(monkeypatch, 7)
    assert STARVES in look(one, text) or text == COPIES
    assert (one.state["connected"], one.state["unheard"], one.state["last_lag"]) == (False, 7, 1)


def test_another_agent_knows_since_when_the_source_is_not_heard(
        access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replica(access)
    look(one, FOLLOWS)
    passes(monkeypatch, 7)
    one = replica(access)
    look(one, LOST)
    assert (one.state["unheard"], one.state["last_lag"]) == (7, 1)
    # what a server has that was started again may be of some time ago
    one = replica(access)
    look(one, LOST, "another")
    assert ("unheard" in one.state, one.state["last_lag"]) == (False, None)
    # it was told to follow another one, which it never heard
    one = replica(access, 2)
    look(one, LOST)
    assert ("unheard" in one.state, one.state["last_lag"]) == (False, None)


def test_a_source_that_takes_connections_and_says_nothing_is_lost(access: Access) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = replica(access, server.getsockname()[1])
        look(one, FOLLOWS)
        assert STARVES in look(one, QUIET)
    assert one.state["unheard"] >= 1


def test_a_source_that_hangs_up_lives(access: Access) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = replica(access, server.getsockname()[1])
        look(one, FOLLOWS)

        def hang_up() -> None:
            with server.accept()[0] as client:
                # as one that speaks TLS only
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=hang_up)
        thread.start()
        look(one, LOST)
        thread.join()
    assert "unheard" not in one.state


def test_a_replica_that_was_halted_tells_of_what_it_had(access: Access) -> None:
    one = replica(access)
    look(one, FOLLOWS)
    access.change(held=True)
    for _ in range(2):
        assert "may not write" in one.trouble(1)
        assert one.state == {"position": "aaaa:7", "progress": 7, "history": "aaaa"}
    # one that follows nobody is to be the source
    access.change(source=None)
    assert "may not write" in one.trouble(1)
    assert one.state == {}


@pytest.mark.parametrize(("text", "told"), [
    (FOLLOWS, ("aaaa", 1)), (QUIET, ("aaaa", 3)),
    (LOST + "master_link_down_since_seconds:40\n", ("aaaa", 40)),
    (LOST + "master_link_down_since_seconds:-1\n", ("aaaa", None)),
    (HALTED, ("bbbb", None))])
def test_a_replica_that_is_halted_says_when_it_heard_its_source(
        text: str, told: tuple[str, int | None]) -> None:
    session = cast("Any", SimpleNamespace(info=lambda _section: parse_info(text)))
    assert replication._last_word(session) == told
