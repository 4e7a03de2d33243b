"""Verifications that find archived log missing, or not as it was stored."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from sqlalchemy import delete, select

from tests.functional.control_plane.test_events import timeline
from tests.functional.control_plane.test_log_archives import (
    START,
    World,
    postgresql,
    world,
)
from tests.functional.control_plane.test_verification import begin, end, shown
from trove_ng.db.models import LogPiece

__all__ = ["postgresql", "world"]

_CONTAINER = "database_backups"


def archived(world: World) -> str:
    """Return a backup that three parts of log continue: up to minutes 1, 2 and 3."""
    world.ship(0.1)
    backup = world.backup(0.5)
    for minute in (1, 2, 3):
        world.ship(minute)
    assert latest(world) == at(3)
    return backup


def at(minute: int) -> str:
    return (START + datetime.timedelta(minutes=minute)).isoformat()


def latest(world: World) -> str:
    return str(world.plane.show(world.instance)["latest_restorable_time"])


def reaching(world: World, minute: int) -> LogPiece:
    """Return the part that ends with a minute."""
    found, = (one for one in world.pieces()
              if one.until == START + datetime.timedelta(minutes=minute))
    return found


def name(piece: LogPiece) -> str:
    return str(piece.manifest["segments"][0]["name"])


def write(world: World, piece: LogPiece, data: bytes) -> None:
    world.plane.tools.clouds.objects._ask(
        world.plane.project_id, "put_object", _CONTAINER, name(piece), data)


def faults(world: World) -> list[str]:
    return [one["message"] for one in timeline(world.plane, world.instance, "?kind=fault")]


def verify(world: World, backup: str) -> dict[str, Any]:
    return end(world.plane, begin(world.plane, backup))


def test_whole_log_is_looked_at_with_its_backup(world: World) -> None:
    backup = archived(world)
    assert verify(world, backup)["status"] == "SUCCEEDED"
    found = shown(world.plane, backup)["verification"]
    assert (found["result"], found["reason"]) == ("GOOD", None)
    assert found["counts"]["log_parts"] == len(world.pieces()) - 1
    assert (latest(world), faults(world)) == (at(3), [])


@pytest.mark.parametrize("how", ["missing", "other"])
def test_no_time_after_damaged_log_can_be_restored_until_it_is_whole_again(
        world: World, how: str) -> None:
    backup = archived(world)
    piece = reaching(world, 2)
    data = f"{piece.first_number} to {piece.next_number}".encode()
    if how == "missing":
        world.plane.minicloud.swift._store.delete(
            f"AUTH_{world.plane.project_id}", _CONTAINER, name(piece))
    else:
        write(world, piece, b"x" * len(data))
    for _ in range(2):
        operation = verify(world, backup)
        assert operation["status"] == "FAILED"
        assert name(piece) in operation["error"]
        assert f"up to {at(1)}Z only" in operation["error"]
    # the backup is good, and says what is not
    found = shown(world.plane, backup)
    assert (found["status"], found["verification"]["result"]) == ("COMPLETED", "GOOD")
    assert name(piece) in found["verification"]["reason"]
    assert latest(world) == at(1)
    assert len([one for one in faults(world) if "archived log is damaged" in one]) == 1
    assert "gap" in str(world.restore(backup, f"{at(2)}Z", status=400))
    # what is stored then, and what is cleaned up, changes nothing of that
    world.plane.request("PUT", f"/instances/{world.instance}", {"instance": {
        "log_archiving": {"enabled": True, "retention_days": 365}}}, status=202)
    world.ship(4)
    world.clean()
    assert latest(world) == at(1)
    assert reaching(world, 2).damage is not None
    write(world, piece, data)
    assert verify(world, backup)["status"] == "SUCCEEDED"
    assert latest(world) == at(4)
    assert shown(world.plane, backup)["verification"]["reason"] is None


def test_a_later_backup_can_be_brought_to_times_after_damaged_log(world: World) -> None:
    first = archived(world)
    world.ship(4)
    second = world.backup(5)
    world.ship(6)
    write(world, reaching(world, 2), b"else")
    assert verify(world, first)["status"] == "FAILED"
    assert latest(world) == at(6)
    assert verify(world, second)["status"] == "SUCCEEDED"


def test_log_that_nobody_knows_any_more_is_a_gap(world: World) -> None:
    backup = archived(world)
    with world.plane.db.writer() as session:
        session.execute(delete(LogPiece).where(LogPiece.id == reaching(world, 2).id))
        assert session.scalars(select(LogPiece)).all()
    operation = verify(world, backup)
    assert operation["status"] == "FAILED"
    assert "The log from 11 up to before 21 is not there." in operation["error"]
