"""What a replica's word on its source means."""

from __future__ import annotations

import pathlib
import types
from typing import Any

import pytest

from trove_ng.common.errors import GuestError, ServiceUnavailable
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.datastores.experimental.mariadb.manager import MariaDbManager
from trove_ng.guestagent.datastores.experimental.mariadb.replication import MariaDbReplication
from trove_ng.guestagent.datastores.mysql_family import replication
from trove_ng.guestagent.datastores.mysql_family.replication import Replication, Role
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.replicas import LastWord

FOLLOWS = {"Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes",
           "Last_IO_Errno": 0, "Last_SQL_Errno": 0, "Seconds_Behind_Master": 2,
           "Gtid_Slave_Pos": "0-1-7", "Gtid_IO_Pos": "0-1-9",
           "Master_Host": "10.0.0.5", "Master_Port": 3306}
AWAY = {**FOLLOWS, "Slave_IO_Running": "Connecting", "Last_IO_Errno": 2003}
BROKEN = {**FOLLOWS, "Slave_SQL_Running": "No", "Last_SQL_Errno": 1062}


def replica(folder: pathlib.Path) -> Replication:
    # only its word is asked for, which tests give
    nothing: Any = None
    return MariaDbReplication(nothing, nothing, nothing, "1", lambda: folder / "role", nothing,
                              LastWord(folder))


@pytest.fixture
def one(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Replication:
    monkeypatch.setattr(replication, "_ANSWER_SECONDS", 0)
    return replica(tmp_path)


def says(one: Replication, monkeypatch: pytest.MonkeyPatch, word: dict[str, Any]) -> None:
    monkeypatch.setattr(one, "status", lambda *_seconds: word)


def test_only_what_cannot_be_applied_ends_the_wait_for_a_source(
        one: Replication, monkeypatch: pytest.MonkeyPatch) -> None:
    says(one, monkeypatch, FOLLOWS)
    one._wait()
    says(one, monkeypatch, AWAY)
    with pytest.raises(ServiceUnavailable, match="2003"):
        one._wait()
    says(one, monkeypatch, BROKEN)
    with pytest.raises(GuestError, match="1062"):
        one._wait()


@pytest.mark.parametrize(("word", "told"), [
    (FOLLOWS, ""), ({}, ""), (AWAY, "(error 2003)"), (BROKEN, "(error 1062)"),
    ({**FOLLOWS, "Slave_SQL_Running": "No"}, "source.")])
def test_a_replica_tells_that_it_does_not_follow(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path,
        word: dict[str, Any], told: str) -> None:
    says(one, monkeypatch, word)
    assert one.trouble(1) == ""
    for role in Role:
        (tmp_path / "role").write_text(role)
        found = one.trouble(1)
        assert bool(found) == (role is Role.HELD or (role is Role.REPLICA and told != ""))
        assert told in found or role is not Role.REPLICA
        assert one.state == ({
            "lag": word["Seconds_Behind_Master"], "position": "0-1-7",
            "connected": word["Slave_IO_Running"] == "Yes",
            "applies": word["Slave_SQL_Running"] == "Yes",
            "last_lag": 2 if word["Slave_IO_Running"] == "Yes" else None, "progress": 9,
        } if word and role is Role.REPLICA else {})


def test_a_replica_that_lost_its_source_tells_how_far_behind_it_was_then(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "role").write_text(Role.REPLICA)
    says(one, monkeypatch, FOLLOWS)
    one.trouble(1)
    says(one, monkeypatch, {**AWAY, "Seconds_Behind_Master": None})
    one.trouble(1)
    assert (one.state["lag"], one.state["last_lag"], one.state["connected"]) == (None, 2, False)
    assert one.state["unheard"] == 0


def test_another_agent_knows_since_when_the_source_is_not_heard(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "role").write_text(Role.REPLICA)
    says(one, monkeypatch, FOLLOWS)
    one.trouble(1)
    alone = {**AWAY, "Seconds_Behind_Master": None}
    # it was told to follow another one, which it never heard
    for host, told in (("10.0.0.5", (0, 2)), ("10.0.0.6", (None, None))):
        later = replica(tmp_path)
        says(later, monkeypatch, {**alone, "Master_Host": host})
        later.trouble(1)
        assert (later.state.get("unheard"), later.state["last_lag"]) == told
        # nor has this agent, which heard another one
        says(one, monkeypatch, {**alone, "Master_Host": host})
        one.trouble(1)
        assert (one.state.get("unheard"), one.state["last_lag"]) == told


@pytest.mark.parametrize("word", [
    {"Slave_IO_Running": "No", "Last_IO_Errno": 0}, {"Slave_IO_Running": "No",
                                                     "Last_IO_Errno": 1236},
    {"Slave_IO_Running": "Connecting", "Last_IO_Errno": 1045}])
def test_a_replica_that_was_stopped_or_refused_does_not_say_that_its_source_is_lost(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path,
        word: dict[str, Any]) -> None:
    (tmp_path / "role").write_text(Role.REPLICA)
    says(one, monkeypatch, FOLLOWS)
    one.trouble(1)
    says(one, monkeypatch, {**FOLLOWS, "Seconds_Behind_Master": None, **word})
    one.trouble(1)
    assert one.state["connected"] is False
    assert "unheard" not in one.state


def test_what_a_replica_lags_when_it_hears_its_source_but_does_not_know_is_not_told(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "role").write_text(Role.REPLICA)
    for word in (FOLLOWS, {**BROKEN, "Seconds_Behind_Master": None}):
        says(one, monkeypatch, word)
        one.trouble(1)
    assert one.state["last_lag"] is None


def test_a_replica_whose_server_does_not_answer_tells_only_what_stays_true(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "role").write_text(Role.REPLICA)
    says(one, monkeypatch, FOLLOWS)
    one.trouble(1)

    def away(*_seconds: int) -> dict[str, Any]:
        raise GuestError("no answer")

    monkeypatch.setattr(one, "status", away)
    assert one.trouble(1) == ""
    assert one.state == {"position": "0-1-7", "progress": 9}


def test_what_a_server_said_before_it_hung_is_not_told_as_new(
        one: Replication, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "role").write_text(Role.REPLICA)
    says(one, monkeypatch, AWAY)
    found = Finding(ServiceStatus.HEALTHY, "The data volume is full.")
    # nothing else of a manager is asked
    manager: Any = types.SimpleNamespace(
        replication=one, _ask=lambda: found, replication_trouble=lambda: one.trouble(1),
        status=types.SimpleNamespace(expects_running=True))
    assert MariaDbManager.examine(manager).reason == found.reason
    assert MariaDbManager.replication_state(manager)["connected"] is False
    found = Finding(ServiceStatus.BLOCKED)
    MariaDbManager.examine(manager)
    assert MariaDbManager.replication_state(manager) == {"position": "0-1-7", "progress": 9}
