"""The archive of a database's log, from the request to a restore to a time."""

from __future__ import annotations

import datetime
import hashlib
import time
from typing import Any

import msgspec
import pytest
import requests
from sqlalchemy import select, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_backups import asked, make, row
from tests.functional.control_plane.test_events import timeline
from tests.functional.control_plane.world import LivingAgent, lose, wait_for
from trove_ng.common.errors import Conflict, GuestError, GuestTimeout
from trove_ng.db.models import Datastore, DatastoreVersion, LogArchive, LogPiece
from trove_ng.db.repositories import log_archives
from trove_ng.operations.duty import Duty
from trove_ng.operations.log_archives import Cleaning
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m
from trove_ng.taskmanager.log_archives import Archiving, LogRetention
from trove_ng.taskmanager.periodic import InTurn

START = datetime.datetime(2026, 5, 1, 12)


class ArchivingAgent(LivingAgent):
    """An agent of a database that writes ten parts of log a minute."""

    #: minutes since the start, by the server's clock
    minute = 0.0
    #: number of the first part that is kept
    lost_before = 0
    parts = 10

    @property
    def stream(self) -> str:
        return f"{self.instance_id}-1"

    def seconds(self, minute: float) -> float:
        return START.replace(tzinfo=datetime.UTC).timestamp() + 60 * minute

    def _archive_log(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        now = int(self.minute * 10)
        same = request.after is not None and request.after.stream == self.stream
        begin = max(request.after.number if same else 0, self.lost_before)
        end = min(now + 1, begin + self.parts)
        data = f"{begin} to {end}".encode()
        name = f"{request.grant.prefix}00000001"
        answer = requests.put(
            f"{request.grant.container_url}/{name}?{request.grant.put_query.reveal()}",
            data=data, timeout=5)
        assert answer.status_code == 201, answer.text
        return am.ArchivedLog(
            stored=m.StoredBackup(
                strategy="wal", checksum="c", size=len(data), data_size=1000,
                segments=[m.Segment(name=name, size=len(data),
                                    md5=hashlib.md5(data).hexdigest(),
                                    sha256=hashlib.sha256(data).hexdigest())]),
            begin=am.LogPosition(stream=self.stream, number=begin), end=end,
            until=self.seconds(self.minute) if end > now else None)

    def _report(self, request: m.StepRequest, result: Any) -> None:
        if isinstance(result, m.StoredBackup):
            result = msgspec.structs.replace(result, metadata={
                **result.metadata, am.STREAM: self.stream,
                am.NUMBER: str(int(self.minute * 10)),
                am.ENDED: str(self.seconds(self.minute))})
        if isinstance(request, m.PrepareRequest) and request.restore is not None:
            result = m.Prepared(restored_to=self.seconds(1))
        super()._report(request, result)


class World:
    """A plane with an instance whose log is archived."""

    def __init__(self, plane: ControlPlane, instance: str) -> None:
        self.plane = plane
        self.instance = instance
        self.agent: Any = plane.agent(instance)

    def ship(self, minute: float | None = None, instance: str = "") -> None:
        """Archive as a taskmanager does it, at a minute of the database's time.

        :param instance: whose time that is; empty: of the first one
        """
        if minute is not None:
            agent: Any = self.plane.agent(instance or self.instance)
            agent.minute = minute
        self.due()
        Archiving(self.plane.tools).run()

    def due(self) -> None:
        with self.plane.db.writer() as session:
            session.execute(update(LogArchive).where(LogArchive.next_at.is_not(None)).values(
                next_at=self.plane.clock.now()))

    def backup(self, minute: float, **more: Any) -> str:
        self.agent.minute = minute
        return str(make(self.plane, self.instance, **more)["id"])

    def restore(self, backup: str, time: str, status: int = 200, **more: Any) -> Any:
        return self.plane.request("POST", "/instances", {"instance": {
            "name": "r", "flavorRef": "1", "volume": {"size": 1},
            "restorePoint": {"backupRef": backup, "time": time}, **more}}, status=status).json

    def archive(self) -> LogArchive | None:
        with self.plane.db.reader() as session:
            return log_archives.get(session, self.instance)

    def pieces(self) -> list[LogPiece]:
        with self.plane.db.reader() as session:
            return list(session.scalars(select(LogPiece).order_by(LogPiece.created)))

    def objects(self) -> list[str]:
        return sorted(self.plane.tools.clouds.objects.list_prefix(
            self.plane.project_id, "database_backups", "log_"))

    def age(self) -> None:
        """Let the objects be old enough to be of no request any more."""
        self.plane.conf.set_override("orphan_objects_age", 0)

    def clean(self) -> None:
        tools = self.plane.tools
        duty = Duty(tools.db, tools.clock, "t", "me")
        InTurn(duty, LogRetention(tools, duty).run, 0).run()


@pytest.fixture
def postgresql(plane: ControlPlane) -> None:
    """A datastore whose log can be archived."""
    with plane.db.writer() as session:
        known = session.scalars(select(DatastoreVersion)).first()
        assert known is not None
        datastore = Datastore(name="postgresql")
        session.add(datastore)
        session.flush()
        session.add(DatastoreVersion(
            datastore_id=datastore.id, name="15", version="15", manager="postgresql",
            image_id=known.image_id, image_tags=known.image_tags, packages="",
            active=True))


@pytest.fixture
def world(plane: ControlPlane, postgresql: None) -> World:
    plane.hypervisor.make_agent = ArchivingAgent
    plane.conf.set_override("backup_encryption", True)
    ident = plane.create(datastore={"type": "postgresql", "version": "15"},
                         log_archiving={"enabled": True, "retention_days": 2})
    plane.wait(ident, "ACTIVE", seconds=15)
    return World(plane, ident)


def test_what_is_archived_brings_a_backup_to_a_time(world: World) -> None:
    plane = world.plane
    shown = plane.show(world.instance)
    assert shown["log_archiving"] == {"enabled": True, "retention_days": 2}
    assert (shown["earliest_restorable_time"], shown["latest_restorable_time"]) == (None, None)
    world.ship(0.5)
    backup = world.backup(0.7)
    world.ship(1)
    world.ship(2)
    world.ship(3.5)
    shown = plane.show(world.instance)
    assert shown["log_archiving"]["archived_at"]
    assert (shown["earliest_restorable_time"], shown["latest_restorable_time"]) == (
        "2026-05-01T12:00:43", "2026-05-01T12:03:30")
    made = world.restore(backup, "2026-05-01T14:01:30+02:00")["instance"]["id"]
    plane.wait(made, "ACTIVE")
    log = asked(plane, "prepare")[-1].restore.log
    assert log.until == world.agent.seconds(1.5)
    with plane.db.reader() as session:
        wanted = [msg for msg in log_archives.pieces(session, [
            one.id for one in world.pieces()]) if msg.first_number in (6, 11)]
    assert [one.segments[0].name for one in log.pieces] == [
        one.manifest["segments"][0]["name"] for one in wanted]
    assert log.grant.put_query is None
    assert log.grant.prefix == f"log_{world.instance}/"
    # each part has been encrypted with a key of its own, which comes with it
    keys = {request.grant.prefix: request.key.reveal()
            for request in asked(plane, "archive_log")}
    assert len(set(keys.values())) == len(keys) >= 4
    assert [one.reveal() for one in log.keys] == [
        keys[one.segments[0].name.rpartition("/")[0] + "/"] for one in log.pieces]
    told = timeline(plane, made, "?kind=restore.reached")
    assert told[0]["message"] == ("The database is as it was at 2026-05-01T12:01:30.000Z: the "
                                  "last change is of 2026-05-01T12:01:00Z.")


@pytest.mark.parametrize(("time", "why"), [
    ("2026-05-01T12:00:41Z", "instance.restorePoint.time is before the end of the backup"),
    ("2026-05-01T12:02:01", "instance.restorePoint.time lies in or after a gap"),
    ("2026-05-01T12:09", "instance.restorePoint.time is too late"),
    ("9999-12-31T23:59:59-12:00", "is no time in ISO 8601"),
    ("2026-02-30T00:00:00Z", "is no time in ISO 8601")])
def test_a_time_that_cannot_be_is_refused_at_once(world: World, time: str, why: str) -> None:
    world.ship(0.5)
    backup = world.backup(0.7)
    world.ship(2)
    world.agent.lost_before = 25
    world.ship(3)
    assert why in world.restore(backup, time, 400)["badRequest"]["message"]
    fault = world.plane.show(world.instance)["fault"]["message"]
    assert "gone before it was archived" in fault


def test_a_backup_that_does_not_tell_and_a_small_volume_are_refused(world: World) -> None:
    plane = world.plane
    world.ship(0.5)
    backup = world.backup(0.7)
    world.ship(2)
    with plane.db.writer() as session:
        session.execute(update(LogPiece).values(data_size=3 * 1024 ** 3))
    said = world.restore(backup, "2026-05-01T12:02:00Z", 400)["badRequest"]["message"]
    assert "instance.volume.size must be at least 7 GB" in said
    with plane.db.writer() as session:
        session.get_one(type(row(plane, backup)), backup).log_stream = None
    said = world.restore(backup, "2026-05-01T12:02:00Z", 400)["badRequest"]["message"]
    assert "does not tell where the log continues it" in said


def test_an_answer_that_is_lost_or_comes_twice_leaves_nothing(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ship(1)
    really = ArchivingAgent._archive_log

    def lost(agent: ArchivingAgent, request: am.ArchiveRequest) -> am.ArchivedLog:
        really(agent, request)
        raise GuestError("The bus went away.")

    with monkeypatch.context() as patch:
        patch.setattr(ArchivingAgent, "_archive_log", lost)
        world.ship(2)
    shown = world.plane.show(world.instance)
    assert shown["log_archiving"]["error"] == "The bus went away."

    def doubled(agent: ArchivingAgent, request: am.ArchiveRequest) -> am.ArchivedLog:
        monkeypatch.setattr(ArchivingAgent, "_archive_log", really)
        # another taskmanager is faster
        world.ship()
        return really(agent, request)

    monkeypatch.setattr(ArchivingAgent, "_archive_log", doubled)
    world.ship(3)
    assert [(one.first_number, one.next_number) for one in world.pieces()] == [
        (0, 10), (10, 11), (11, 21), (21, 31)]
    assert "error" not in world.plane.show(world.instance)["log_archiving"]
    assert len(world.objects()) == 6
    with world.plane.db.writer() as session:
        session.execute(update(LogPiece).values(until=world.plane.clock.now()))
    world.clean()
    # an agent may be at it
    assert len(world.objects()) == 6
    world.age()
    world.clean()
    assert len(world.objects()) == 4


def test_an_answer_that_came_too_late_is_taken_from_the_next_ask(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ship(1)
    really, given = ArchivingAgent._archive_log, list[am.ArchivedLog]()

    def late(agent: ArchivingAgent, request: am.ArchiveRequest) -> am.ArchivedLog:
        if not given:
            given.append(really(agent, request))
            raise GuestError("The agent does not answer.")
        return given[0]

    with monkeypatch.context() as patch:
        patch.setattr(ArchivingAgent, "_archive_log", late)
        world.ship(1.5)
        assert len(world.pieces()) == 2
        world.ship()
        # said again it would be stored twice
        world.ship()
    assert "names other objects" in world.plane.show(world.instance)["log_archiving"]["error"]
    before, piece = sorted(world.pieces(), key=lambda one: one.first_number)[-2:]
    assert (piece.first_number, piece.next_number) == (before.next_number, given[0].end)
    (name,) = [segment.name for segment in given[0].stored.segments]
    # the key is derived from that, too
    assert name.split("/")[1] == piece.id
    count = len(world.objects())
    with world.plane.db.writer() as session:
        session.execute(update(LogPiece).values(until=world.plane.clock.now()))
    world.age()
    world.clean()
    assert len(world.objects()) == count
    # nobody knows whether those of long ago are still there
    given.clear()
    with monkeypatch.context() as patch:
        patch.setattr(ArchivingAgent, "_archive_log", late)
        world.ship(2)
        time.sleep(1.1)
        world.ship()
    assert "is of long ago" in world.plane.show(world.instance)["log_archiving"]["error"]
    assert len(world.pieces()) == 3


def test_what_no_restore_needs_goes_and_the_rest_with_instance_and_backups(
        world: World) -> None:
    plane = world.plane
    world.ship(1)
    backup = world.backup(1.5)
    world.ship(2)
    now = plane.clock.now()
    with plane.db.writer() as session:
        session.execute(update(LogPiece).values(until=now))
    assert len(world.pieces()) == 3
    world.age()
    world.clean()
    # none continues a backup, but the last
    assert [one.next_number for one in world.pieces()] == [21]
    assert len(world.objects()) == 1
    plane.request("DELETE", f"/instances/{world.instance}", status=202)
    plane.wait_gone(f"/instances/{world.instance}")
    world.clean()
    # it can be restored still
    assert len(world.objects()) == 1
    plane.request("DELETE", f"/backups/{backup}", status=202)
    plane.wait_gone(f"/backups/{backup}")
    world.age()
    world.clean()
    assert (world.objects(), world.pieces(), world.archive()) == ([], [], None)
    world.clean()


def test_nothing_goes_while_it_is_restored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = world.plane
    world.ship(0.5)
    backup = world.backup(0.7)
    world.ship(2)
    plane.manager.stop()
    made = world.restore(backup, "2026-05-01T12:01:00Z")["instance"]["id"]
    Cleaning(plane.tools).clean(world.instance)
    # the times are of long ago
    assert len(world.pieces()) == 3
    plane.start_taskmanager("another").sweep()
    plane.wait(made, "ACTIVE")
    Cleaning(plane.tools).clean(world.instance)
    assert world.pieces() == []


def test_it_is_switched_off_and_on_again(world: World) -> None:
    plane, path = world.plane, f"/instances/{world.instance}"
    world.ship(0.5)
    plane.request("PUT", path, {"instance": {"log_archiving": {"enabled": False}}}, status=202)
    world.ship(2)
    assert asked(plane, "end_log_archive")
    assert len(world.pieces()) == 1
    asks = len(asked(plane, "end_log_archive"))
    world.ship(3)
    assert len(asked(plane, "end_log_archive")) == asks
    assert plane.show(world.instance)["log_archiving"] == {
        "enabled": False, "retention_days": 2}
    plane.request("PATCH", path, {"instance": {
        "name": "new", "log_archiving": {"enabled": True, "retention_days": 9}}}, status=202)
    assert plane.show(world.instance)["name"] == "new"
    world.ship(3)
    found = plane.show(world.instance)["log_archiving"]
    assert found.pop("archived_at")
    assert found == {"enabled": True, "retention_days": 9}
    assert world.pieces()[-1].next_number == 31
    plane.request("PUT", path, {"instance": {"log_archiving": {"enabled": False}}}, status=202)
    world.ship()
    with plane.db.writer() as session:
        session.execute(update(LogPiece).values(until=START))
    world.clean()
    assert world.pieces() == []
    world.age()
    world.clean()
    assert (world.objects(), world.archive()) == ([], None)
    assert "log_archiving" not in plane.show(world.instance)


def test_who_cannot_is_told_why(plane: ControlPlane, postgresql: None) -> None:
    wanted = {"enabled": True}
    plane.add_redis()
    said = plane.request("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", "volume": {"size": 1}, "log_archiving": wanted,
        "datastore": {"type": "redis", "version": "7.0"}}}, status=501).text
    assert "does not archive its log" in said
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    for more in ({"log_archiving": wanted},
                 {"restorePoint": {"backupRef": ident, "time": "2026-05-01T12:00:00Z"}}):
        plane.request("POST", "/instances", {"instance": {
            "name": "r", "replica_of": ident, **more}}, status=400)
    for body in ({"enabled": 1}, {}, {"enabled": True, "retention_days": 0}):
        plane.request("PUT", f"/instances/{ident}", {"instance": {"log_archiving": body}},
                      status=400)


def test_an_agent_cannot_have_others_objects_used(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    really = ArchivingAgent._archive_log

    def lying(agent: ArchivingAgent, request: am.ArchiveRequest) -> am.ArchivedLog:
        done = really(agent, request)
        return msgspec.structs.replace(done, stored=msgspec.structs.replace(
            done.stored, segments=[m.Segment(name="backup_x/1", size=1, md5="", sha256="")]))

    monkeypatch.setattr(ArchivingAgent, "_archive_log", lying)
    world.ship(1)
    assert world.pieces() == []
    assert "names other objects" in world.plane.show(world.instance)["log_archiving"]["error"]


def test_an_agent_that_is_silent_or_at_it_is_no_failure(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def working(_agent: ArchivingAgent, _request: am.ArchiveRequest) -> am.ArchivedLog:
        raise Conflict("The log is being archived already.")

    with monkeypatch.context() as patch:
        patch.setattr(ArchivingAgent, "_archive_log", working)
        world.ship(1)
    assert "error" not in world.plane.show(world.instance)["log_archiving"]
    world.agent.lost = True
    asks = len(asked(world.plane, "archive_log"))
    world.plane.conf.set_override("agent_heartbeat_expiry", 1)
    time.sleep(1.5)
    world.ship(2)
    assert len(asked(world.plane, "archive_log")) == asks
    world.plane.conf.clear_override("agent_heartbeat_expiry")
    world.ship(2)
    assert world.pieces()


@pytest.mark.parametrize("lost", [False, True], ids=["promoted", "ejected"])
def test_what_backs_a_source_up_goes_on_with_the_one_that_takes_its_place(
        world: World, lost: bool) -> None:
    plane, source = world.plane, world.instance
    world.ship(0.5)
    schedule = str(plane.request("POST", "/schedules", {"schedule": {
        "instance": source, "name": "nightly", "pattern": "0 2 * * *"}},
        status=201).json["schedule"]["id"])
    replica = change_source(plane, source, lost=lost)
    told, = timeline(plane, replica, "?kind=source.taken_over")
    assert source in told["message"]
    assert "(1)" in told["message"]
    assert plane.request("GET", f"/schedules/{schedule}").json["schedule"][
        "instance_id"] == replica
    assert plane.show(replica)["log_archiving"] == {"enabled": True, "retention_days": 2}
    assert plane.show(source)["log_archiving"]["enabled"] is False
    world.ship(5.0, replica)
    assert {one.instance_id for one in world.pieces()} == {source, replica}
    if not lost:
        assert asked(plane, "end_log_archive")
        # and back
        plane.request("POST", f"/instances/{source}/action", {
            "promote_to_replica_source": {}}, status=202)
        wait_for(lambda: "replica_of" not in plane.show(source) or None, "the source again")
        plane.wait(source, "ACTIVE")
        assert plane.show(source)["log_archiving"]["enabled"] is True
        assert plane.show(replica)["log_archiving"]["enabled"] is False


def change_source(plane: ControlPlane, source: str, *, lost: bool = False) -> str:
    """Have a new replica take the place of a source, or of one that is lost; return it."""
    replica = follower(plane, source)
    if lost:
        lose(plane, source)
        plane.request("POST", f"/instances/{source}/action", {"eject_replica_source": {}},
                      status=202)
        plane.wait(source, "SHUTDOWN")
    else:
        plane.request("POST", f"/instances/{replica}/action", {
            "promote_to_replica_source": {}}, status=202)
    wait_for(lambda: "replica_of" not in plane.show(replica) or None, "the new source")
    plane.wait(replica, "ACTIVE")
    return replica


def follower(plane: ControlPlane, source: str) -> str:
    """Return a replica that follows."""
    made = str(plane.request("POST", "/instances", {"instance": {
        "name": "follower", "replica_of": source}}, status=200).json["instance"]["id"])
    plane.wait(made, "ACTIVE", seconds=15)
    plane.wait(source, "ACTIVE")
    return made


def test_an_agent_that_answered_is_asked_after_the_interval_and_another_one_later(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = world.plane
    plane.conf.set_override("log_archive_interval", 7)
    world.ship(0.5)

    def wait() -> float:
        found = world.archive()
        assert found is not None
        assert found.next_at is not None
        return (found.next_at - plane.clock.now()).total_seconds()

    assert 0 < wait() <= 7

    def silent(_request: Any) -> Any:
        raise GuestTimeout

    monkeypatch.setattr(world.agent, "_archive_log", silent)
    world.ship()
    assert wait() > plane.conf.guest_call_timeout
