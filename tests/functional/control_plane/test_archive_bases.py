"""The backup that the archive of a new source begins with."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_backups import make as make_backup
from tests.functional.control_plane.test_events import timeline
from tests.functional.control_plane.test_log_archives import (
    World,
    change_source,
    postgresql,
    world,
)
from tests.functional.control_plane.world import wait_for
from trove_ng.db.models import Backup, LogArchive, Notification
from trove_ng.operations.archive_bases import Bases
from trove_ng.operations.notices import Notices
from trove_ng.operations.requests import Requests

__all__ = ["postgresql", "world"]


def bases(plane: ControlPlane) -> Bases:
    tools = plane.tools
    return Bases(plane.conf, plane.db, plane.clock, Requests(
        plane.conf, tools.operation_box, Notices(lambda: True, of_its_own=True)),
        plane.manager.take, tools.datastores)


def change(world: World, *, lost: bool = False) -> str:
    """Give the set another source; return it."""
    world.ship(0.5)
    return change_source(world.plane, world.instance, lost=lost)


def of(plane: ControlPlane, instance: str) -> list[dict[str, Any]]:
    return list(plane.request("GET", f"/instances/{instance}/backups").json["backups"])


def ended(plane: ControlPlane, instance: str, state: str = "COMPLETED") -> dict[str, Any]:
    """Return the backup that is there, when it has ended."""
    def found() -> dict[str, Any] | None:
        one, = of(plane, instance)
        return one if one["status"] == state else None

    made = wait_for(found, "the backup")
    plane.wait(instance, "ACTIVE")
    assert made is not None
    return made


def told(plane: ControlPlane, instance: str) -> list[str]:
    return [one["message"] for one in timeline(plane, instance, "?kind=archive.base")]


def latest(plane: ControlPlane, instance: str) -> str | None:
    found: str | None = plane.show(instance).get("latest_restorable_time")
    return found


def wish(world: World, instance: str) -> LogArchive:
    with world.plane.db.reader() as session:
        found = session.get(LogArchive, instance)
    assert found is not None
    return found


@pytest.mark.parametrize("lost", [False, True], ids=["promoted", "ejected"])
def test_a_new_source_can_be_restored_to_a_time_without_being_asked(
        world: World, lost: bool) -> None:
    plane = world.plane
    replica = change(world, lost=lost)
    works = bases(plane)
    works.run()
    # log from before it is archived may not be kept
    assert of(plane, replica) == []
    world.ship(5.0, replica)
    for _ in range(2):
        works.run()
    made = ended(plane, replica)
    assert made["name"].startswith("archive-base-")
    assert made["parent_id"] is None
    assert "/database_backups/" in made["locationRef"]
    works.run()
    assert len(of(plane, replica)) == 1
    assert made["id"] in told(plane, replica)[0]
    world.ship(6.0, replica)
    assert latest(plane, replica) is not None
    assert wish(world, replica).base_since is None
    with plane.db.reader() as session:
        sent = [one.event_type for one in session.scalars(select(Notification))
                if one.payload.get("name") == made["name"]]
    assert sent == ["dbaas.backup_create.start"]


def test_what_keeps_it_from_being_begun_is_told_once_and_tried_again(world: World) -> None:
    plane = world.plane
    replica = change(world)
    world.ship(5.0, replica)
    plane.conf.set_override("max_backups_per_tenant", 0)
    for _ in range(2):
        bases(plane).run()
    said, = told(plane, replica)
    assert "uota" in said
    assert of(plane, replica) == []
    plane.conf.clear_override("max_backups_per_tenant")
    bases(plane).run()
    ended(plane, replica)


def test_one_that_fails_is_told_and_not_made_again(world: World) -> None:
    plane = world.plane
    replica = change(world)
    world.ship(5.0, replica)
    plane.hypervisor.failures["create_backup"] = "No space left."
    bases(plane).run()
    ended(plane, replica, "FAILED")
    for _ in range(2):
        bases(plane).run()
    assert len(of(plane, replica)) == 1
    assert any("No space left." in one for one in told(plane, replica))


def test_the_owners_own_backup_does_as_well(world: World) -> None:
    plane = world.plane
    replica = change(world)
    world.ship(5.0, replica)
    own = str(make_backup(plane, replica)["id"])
    bases(plane).run()
    assert [one["id"] for one in of(plane, replica)] == [own]
    assert wish(world, replica).base_since is None


def test_who_is_not_ready_is_waited_for_and_told_of_when_that_is_long(world: World) -> None:
    plane = world.plane
    replica = change(world)
    bases(plane).run()
    assert told(plane, replica) == []
    plane.conf.set_override("schedule_patience", 0)
    bases(plane).run()
    said, = told(plane, replica)
    assert "not archived yet" in said
    plane.request("PUT", f"/instances/{replica}", {
        "instance": {"log_archiving": {"enabled": False}}}, status=202)
    assert wish(world, replica).base_since is None


def test_it_goes_when_a_later_one_is_older_than_the_retention(world: World) -> None:
    plane = world.plane
    replica = change(world)
    world.ship(5.0, replica)
    works = bases(plane)
    works.run()
    base = ended(plane, replica)["id"]
    own = str(make_backup(plane, replica)["id"])

    def age(**moments: datetime.datetime) -> None:
        with plane.db.writer() as session:
            for name, moment in moments.items():
                session.execute(update(Backup).where(
                    Backup.id == {"own": own, "base": base}[name]).values(log_time=moment))

    now = plane.clock.now()
    age(base=now - datetime.timedelta(days=9), own=now - datetime.timedelta(days=1))
    works.clean()
    assert {one["id"] for one in of(plane, replica)} == {own, base}
    child = str(make_backup(plane, replica, parent_id=base)["id"])
    age(own=now - datetime.timedelta(days=3))
    works.clean()
    assert {one["id"] for one in of(plane, replica)} == {own, base, child}
    plane.request("DELETE", f"/backups/{child}", status=202)
    wait_for(lambda: child not in {one["id"] for one in of(plane, replica)} or None, "its end")
    works.clean()
    wait_for(lambda: [one["id"] for one in of(plane, replica)] == [own] or None, "the end")
