"""What replicas of PostgreSQL are told, and what their data tell."""

from __future__ import annotations

import json
import pathlib
import socket
import threading
from typing import Any

import pytest

from trove_ng.common.errors import BadRequest, GuestError, ServiceUnavailable
from trove_ng.guestagent.datastores.experimental.postgresql import replication
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.replicas import LastWord
from trove_ng.rpc import replication_messages as rm

CONTROL = """\
wal_level setting:                    replica
wal_log_hints setting:                off
max_connections setting:              150
max_worker_processes setting:         8
max_wal_senders setting:              20
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
track_commit_timestamp setting:       off
"""


def test_the_data_tell_what_a_replica_must_have() -> None:
    assert replication.shared_settings(CONTROL) == {
        "max_connections": 150, "max_worker_processes": 8, "max_wal_senders": 20,
        "max_prepared_transactions": 0, "max_locks_per_transaction": 64}


def test_the_password_stands_in_a_file_only() -> None:
    assert replication.password_line("a:b\\c'd") == "*:*:*:*:a\\:b\\\\c'd\n"
    assert replication.conninfo("fd00::1", 5432, "os_replica_1", pathlib.Path("/p")) == (
        "host=fd00::1 port=5432 user=os_replica_1 passfile=/p application_name=os_replica_1 "
        "connect_timeout=10 sslmode=prefer")
    assert replication.conninfo(
        "h", 1, "u", pathlib.Path("/p"), "verify-full", pathlib.Path("/ca")).endswith(
            " sslmode=verify-full sslrootcert=/ca sslcert=/ca.none")


def replica(folder: pathlib.Path, port: int = 1) -> replication.Replication:
    """Return a replica of a server that would be here, at a port."""
    kept = folder / "kept"
    kept.write_text(json.dumps({"host": "127.0.0.1", "port": port}))
    # nothing is asked of a server of its own
    nothing: Any = None
    return replication.Replication(nothing, nothing, nothing, Paths(), lambda: kept, nothing,
                                   nothing, LastWord(folder))


@pytest.mark.parametrize(("paused", "starved", "told"), [
    (False, False, ""), (True, True, "settings"), (True, False, "settings"),
    (False, True, "does not get changes")])
def test_a_replica_tells_that_it_does_not_follow(tmp_path: pathlib.Path, *, paused: bool,
                                                 starved: bool, told: str) -> None:
    seen = replication._Seen(paused, starved, 3, "0/7", "0/9")
    found = replication._sentence(seen)
    assert (told in found, bool(found)) == (True, bool(told))
    assert replica(tmp_path)._state(seen) == {
        "lag": None if starved else 3, "position": "0/7", "connected": not starved,
        "applies": not paused, "last_lag": None if starved else 3, "progress": 9}


def test_accounts_have_names_of_their_own() -> None:
    # nothing is asked of a server
    nothing: Any = None
    one = replication.Replication(nothing, nothing, nothing, Paths(), nothing, nothing, nothing,
                                  nothing)
    with pytest.raises(BadRequest, match="os_replica_"):
        one.set_accounts(rm.ReplicaAccounts(keep=["postgres"]))


class Answers:
    """A session whose server says the same all the time.

    :param row: follows, receives, has what was received, waits for more, has applied up to
    """

    def __init__(self, *row: Any) -> None:
        self._row = row

    def run(self, query: Any, _values: Any = ()) -> list[Any]:
        return [("0/9",) if "pg_last_wal_receive_lsn" in str(query) else self._row]


@pytest.mark.parametrize(("row", "ends"), [
    ((False, False, None, False, None), True),
    ((True, True, True, True, "0/9"), True), ((True, True, False, True, "0/7"), False),
    # what came last is half of a record; nothing was received since the start
    ((True, False, False, True, "0/7"), True), ((True, False, None, True, "0/7"), True),
    # it applies, or must not
    ((True, False, True, False, "0/9"), False), ((True, False, False, False, "0/7"), False)])
def test_all_is_applied_when_the_server_waits_for_more(
        monkeypatch: pytest.MonkeyPatch, row: tuple[Any, ...], *, ends: bool) -> None:
    monkeypatch.setattr(replication, "_STILL_SECONDS", 0.02)
    monkeypatch.setattr(replication, "_APPLY_SECONDS", 0.1)
    monkeypatch.setattr(replication, "_POLL_SECONDS", 0.01)
    session: Any = Answers(*row)
    if ends:
        replication.Replication._apply(session)
    else:
        with pytest.raises(ServiceUnavailable, match="applies what it has received"):
            replication.Replication._apply(session)


def test_a_source_that_answers_is_not_lost(tmp_path: pathlib.Path) -> None:
    starved = replication._Seen(False, True, 3, "0/7", None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = replica(tmp_path, server.getsockname()[1])
        assert "unheard" not in one._state(starved), "it never heard it"
        one._state(replication._Seen(False, False, 3, "0/7", "0/9"))
        assert one._state(starved)["unheard"] >= 1, "it takes connections and says nothing"

        def answer() -> None:
            for _ in range(3):
                with server.accept()[0] as client:
                    client.sendall(b"N")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "unheard" not in one._state(starved), "it refuses this replica"
        thread.join()
    assert one._state(starved)["unheard"] >= 1


def test_another_agent_knows_since_when_the_source_is_not_heard(tmp_path: pathlib.Path) -> None:
    replica(tmp_path)._state(replication._Seen(False, False, 3, "0/7", "0/9"))
    starved = replication._Seen(False, True, 9, "0/7", None)
    found = replica(tmp_path)._state(starved)
    assert (found["unheard"], found["last_lag"], found["lag"]) == (0, 3, None)
    # it was told to follow another one, which it never heard
    found = replica(tmp_path, 2)._state(starved)
    assert ("unheard" in found, found["last_lag"]) == (False, None)


def test_a_replica_that_ends_at_its_new_source_is_started_again(
        monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None
    restarts: list[str] = []
    one = replication.Replication(nothing, nothing, nothing, Paths(), nothing,
                                  lambda: restarts.append("restart"), nothing, nothing)
    found = replication._Seen(paused=False, starved=False, lag=0, position="0/1", received=None)

    def look() -> replication._Seen:
        if not restarts:
            raise GuestError("The database server does not tell of its replication.")
        return found

    monkeypatch.setattr(one, "_look", look)
    one.wait()
    assert restarts == ["restart"]
