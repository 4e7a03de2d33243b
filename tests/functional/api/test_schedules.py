"""Schedules through the API, and the backups that they make."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.functional.api.conftest import FOREIGN, MINE, OWN, Api
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.states import BackupState, ExecutionState
from trove_ng.conf import taskmanager
from trove_ng.datastores.base import load_datastores
from trove_ng.db.models import (
    Backup,
    Instance,
    Operation,
    Schedule,
    ScheduleExecution,
    ServiceStatusRow,
)
from trove_ng.db.repositories import reconciliation, schedules
from trove_ng.domain import retention
from trove_ng.operations.retention import purge_executions
from trove_ng.operations.schedules import Runner, Schedules

INSTANCE = f"{OWN}1"
START = datetime.datetime(2026, 5, 4, 12, 0, 30)


class Clock(SystemClock):
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime.datetime:
        return self.at


class Clockwork:
    """An API and a taskmanager's schedules, by one clock."""

    def __init__(self, app: Api) -> None:
        taskmanager.register(app.conf)
        self.app, self.clock, self.begun = app, Clock(), [""][:0]
        object.__setattr__(app.services, "clock", self.clock)
        self.runner = self.make_runner()
        with app.db.writer() as session:
            session.execute(update(Schedule).values(deleted=True))
            session.execute(update(Backup).values(deleted=True))
            session.execute(update(ServiceStatusRow).values(updated_at=START))

    def make_runner(self) -> Runner:
        app = self.app
        return Runner(app.conf, app.db, self.clock, Schedules(
            app.conf, app.services.requests, load_datastores()), self.begun.append)

    def make(self, **more: Any) -> dict[str, Any]:
        answer = self.app("POST", "/schedules", {"schedule": {
            "name": "nightly", "instance": INSTANCE, "pattern": "*/10 * * * *", **more}})
        assert answer.status_int == 201, answer.text
        found: dict[str, Any] = answer.json["schedule"]
        return found

    def run(self, at: str | None = None, beat: bool = True) -> None:
        """Look for what is due, at a time of the day."""
        if at is not None:
            self.clock.at = datetime.datetime.fromisoformat(f"2026-05-{at}")
        if beat:
            with self.app.db.writer() as session:
                session.execute(update(ServiceStatusRow).values(updated_at=self.clock.at))
        self.runner.run()

    def executions(self, ident: str) -> list[tuple[str, str]]:
        answer = self.app("GET", f"/schedules/{ident}/executions?limit=100").json
        return [(one["tick_at"][8:16], one["state"]) for one in answer["executions"]]

    def backups(self) -> list[Backup]:
        with self.app.db.reader() as session:
            return list(session.scalars(select(Backup).where(
                Backup.deleted.is_(False), Backup.schedule_id.is_not(None)).order_by(
                    Backup.created)))

    def end(self, state: BackupState = BackupState.COMPLETED) -> None:
        """Let the running backups have ended."""
        with self.app.db.writer() as session:
            for one in session.scalars(select(Backup).where(Backup.state == "NEW")):
                one.state, one.backup_timestamp = state, self.clock.at
                one.backup_type, one.created = "mariabackup", self.clock.at
                session.execute(update(Operation).where(
                    Operation.resource_id == one.id).values(live_key=None, status="SUCCEEDED"))
                good = state == BackupState.COMPLETED
                schedules.note_end(session, one.id, ExecutionState.SUCCESS if good else (
                    ExecutionState.ERROR), "Backup complete" if good else "no")


@pytest.fixture
def works(app: Api) -> Clockwork:
    return Clockwork(app)


# ---- the resource -------------------------------------------------------------------


def test_a_schedule_is_shown_with_its_next_time(works: Clockwork) -> None:
    made = works.make(pattern=" 0 2 * *  * ", time_zone="Europe/Berlin", full_every=7,
                      keep_count=3, keep_days=9, description="d")
    assert made == {
        "id": made["id"], "name": "nightly", "description": "d", "project_id": MINE,
        "instance_id": INSTANCE, "pattern": "0 2 * * *", "time_zone": "Europe/Berlin",
        "full_every": 7, "keep_count": 3, "keep_days": 9, "paused": False, "parent_id": None,
        "verify": None, "next_verify_at": None,
        "next_run_at": "2026-05-05T00:00:00", "last_run_at": None,
        "created": "2026-05-04T12:00:30", "updated": "2026-05-04T12:00:30"}
    assert works.app("GET", f"/schedules/{made['id']}").json == {"schedule": made}
    assert works.app("GET", "/schedules").json == {"schedules": [made]}
    assert works.app("GET", f"/schedules?instance_id={OWN}2").json == {"schedules": []}


def test_a_change_of_the_pattern_changes_the_next_time(works: Clockwork) -> None:
    ident = works.make()["id"]

    def change(**values: Any) -> Any:
        answer = works.app("PATCH", f"/schedules/{ident}", {"schedule": values})
        assert answer.status_int == 200, answer.text
        return answer.json["schedule"]["next_run_at"]

    assert change(name="x") == "2026-05-04T12:10:00"
    assert change(pattern="0 4 * * *") == "2026-05-05T04:00:00"
    assert change(time_zone="Asia/Tokyo") == "2026-05-04T19:00:00"
    assert change(paused=True) is None
    assert change(keep_count=5) is None
    assert change(paused=False) == "2026-05-04T19:00:00"


@pytest.mark.parametrize(("values", "status"), [
    ({"pattern": "* * * *"}, 400), ({"pattern": "@hourly"}, 400),
    ({"pattern": "0 0 30 2 *"}, 400), ({"time_zone": "Nowhere"}, 400),
    ({"full_every": -1}, 400), ({"keep_count": 0}, 400), ({"keep_days": 0}, 400),
    ({"name": ""}, 400), ({"else": 1}, 400), ({"instance": f"{FOREIGN}1"}, 404)])
def test_what_is_no_schedule_is_refused(app: Api, values: dict[str, Any], status: int) -> None:
    before = app.rows()
    answer = app("POST", "/schedules", {"schedule": {
        "name": "n", "instance": INSTANCE, "pattern": "0 2 * * *", **values}})
    assert answer.status_int == status, answer.text
    if "instance" not in values:
        answer = app("PATCH", f"/schedules/{OWN}9", {"schedule": values})
        assert answer.status_int == status, answer.text
    assert app.rows() == before


def test_an_instance_has_a_few_schedules_only(works: Clockwork) -> None:
    works.app.conf.set_override("max_schedules_per_instance", 1)
    works.make()
    answer = works.app("POST", "/schedules", {"schedule": {
        "name": "n", "instance": INSTANCE, "pattern": "0 2 * * *"}})
    assert (answer.status_int, "at most 1" in answer.text) == (413, True)
    works.make(instance=f"{OWN}2")


def test_a_deleted_schedule_is_gone_and_its_backups_stay(works: Clockwork) -> None:
    ident = works.make()["id"]
    works.run("04T12:10:00")
    assert works.app("DELETE", f"/schedules/{ident}").status_int == 204
    for path in (f"/schedules/{ident}", f"/schedules/{ident}/executions"):
        assert works.app("GET", path).status_int == 404
    works.run("04T12:20:00")
    assert len(works.backups()) == 1


def test_pages_of_executions_hold_each_once(works: Clockwork) -> None:
    ident = works.make()["id"]
    with works.app.db.writer() as session:
        for minute in range(45):
            schedules.add_execution(session, ident, START.replace(minute=minute),
                                    ExecutionState.SUCCESS)
    path, seen = f"/schedules/{ident}/executions", []
    while path:
        answer = works.app("GET", path).json
        seen += [one["id"] for one in answer["executions"]]
        path = "".join(one["href"].partition(MINE)[2] for one in answer.get("links", []))
    assert len(seen) == len(set(seen)) == 45
    assert works.app("DELETE", f"/schedules/{ident}/executions/{seen[0]}").status_int == 204
    assert works.app("DELETE", f"/schedules/{ident}/executions/{seen[0]}").status_int == 404


# ---- ticks --------------------------------------------------------------------------


def test_a_tick_makes_one_backup(works: Clockwork) -> None:
    ident = works.make(description="by a schedule")["id"]
    works.run("04T12:09:59")
    assert works.begun == []
    for at in ("04T12:10:00", "04T12:10:05", "04T12:19:59"):
        works.run(at)
    made, = works.backups()
    assert (made.name, made.description, made.schedule_id, made.tenant_id) == (
        "nightly", "by a schedule", ident, MINE)
    assert len(works.begun) == 1
    assert works.executions(ident) == [("04T12:10", "RUNNING")]
    works.end()
    assert works.executions(ident) == [("04T12:10", "SUCCESS")]
    shown = works.app("GET", f"/schedules/{ident}").json["schedule"]
    assert (shown["next_run_at"], shown["last_run_at"]) == (
        "2026-05-04T12:20:00", "2026-05-04T12:10:00")


def test_many_taskmanagers_make_one_backup_of_a_tick(works: Clockwork) -> None:
    idents = [works.make(instance=f"{OWN}{number}")["id"] for number in (1, 2, 3)]
    works.run("04T12:10:00", beat=True)
    for at in ("04T12:20:00", "04T12:30:00"):
        works.end()
        works.clock.at = datetime.datetime.fromisoformat(f"2026-05-{at}")
        with works.app.db.writer() as session:
            session.execute(update(ServiceStatusRow).values(updated_at=works.clock.at))
        runners = [threading.Thread(target=works.make_runner().run) for _ in range(6)]
        for one in runners:
            one.start()
        for one in runners:
            one.join()
    assert len(works.backups()) == len(works.begun) == 9
    for ident in idents:
        assert [state for _, state in works.executions(ident)] == ["RUNNING", "SUCCESS", "SUCCESS"]


def test_of_missed_ticks_the_last_is_made_good(works: Clockwork) -> None:
    ident = works.make()["id"]
    works.run("04T15:07:00")
    assert works.executions(ident) == [("04T15:00", "RUNNING"), ("04T12:10", "MISSED")]
    assert len(works.backups()) == 1
    works.end()
    works.run("04T15:10:00")
    assert works.executions(ident)[0] == ("04T15:10", "RUNNING")


def test_a_busy_instance_is_backed_up_as_soon_as_it_can_be(works: Clockwork) -> None:
    ident = works.make(pattern="0 * * * *")["id"]
    with works.app.db.writer() as session:
        session.execute(update(Instance).values(task="RESIZING"))
    for at in ("04T13:00:00", "04T13:05:00"):
        works.run(at)
        assert works.executions(ident) == [("04T13:00", "WAITING")]
    with works.app.db.writer() as session:
        session.execute(update(Instance).values(task="NONE"))
    works.run("04T13:05:05")
    assert works.executions(ident) == [("04T13:00", "RUNNING")]
    assert len(works.backups()) == 1
    shown = works.app("GET", f"/schedules/{ident}").json["schedule"]
    assert shown["next_run_at"] == "2026-05-04T14:00:00"


def test_waiting_ends_with_patience_and_with_the_next_tick(works: Clockwork) -> None:
    ident = works.make(pattern="0 * * * *")["id"]
    works.app.conf.set_override("schedule_patience", 600)
    works.run("04T13:00:00", beat=False)
    works.run("04T13:10:01", beat=False)
    assert works.executions(ident) == [("04T13:00", "ERROR")]
    works.app.conf.set_override("schedule_patience", 90000)
    works.run("04T14:00:00", beat=False)
    works.run("04T15:00:00", beat=False)
    assert works.executions(ident) == [
        ("04T15:00", "WAITING"), ("04T14:00", "ERROR"), ("04T13:00", "ERROR")]
    output = works.app("GET", f"/schedules/{ident}/executions").json["executions"][1]["output"]
    assert "heard of" in output
    works.run("04T15:00:10")
    assert works.executions(ident)[0] == ("04T15:00", "RUNNING")
    assert len(works.backups()) == 1


def test_a_full_quota_is_an_error_and_leaves_nothing(works: Clockwork) -> None:
    ident = works.make()["id"]
    works.app.conf.set_override("max_backups_per_tenant", 0)
    works.run("04T12:10:00")
    works.run("04T12:10:05")
    assert works.executions(ident) == [("04T12:10", "ERROR")]
    assert works.backups() == []
    assert works.begun == []


def test_one_broken_schedule_does_not_stop_the_others(works: Clockwork) -> None:
    broken, good = works.make()["id"], works.make(instance=f"{OWN}2")["id"]
    with works.app.db.writer() as session:
        session.execute(update(Schedule).where(Schedule.id == broken).values(time_zone="Gone"))
    works.run("04T12:10:00")
    assert works.executions(good) == [("04T12:10", "RUNNING")]


def test_a_paused_schedule_does_nothing_and_makes_nothing_good(works: Clockwork) -> None:
    ident = works.make()["id"]
    works.app("PATCH", f"/schedules/{ident}", {"schedule": {"paused": True}})
    works.run("04T13:00:00")
    works.app("PATCH", f"/schedules/{ident}", {"schedule": {"paused": False}})
    works.run("04T13:00:01")
    assert works.executions(ident) == []
    works.run("04T13:10:00")
    assert works.executions(ident) == [("04T13:10", "RUNNING")]


def test_a_backup_is_made_now_of_a_paused_schedule_too(works: Clockwork) -> None:
    ident = works.make(paused=True)["id"]
    works.run()
    answer = works.app("POST", f"/schedules/{ident}/run")
    assert answer.status_int == 202, answer.text
    assert answer.json["execution"]["state"] == "RUNNING"
    assert [one.id for one in works.backups()] == [answer.json["execution"]["backup_id"]]
    assert len(works.app.waker.woken) == 1
    # it is being backed up
    assert works.app("POST", f"/schedules/{ident}/run").status_int == 422


def test_an_execution_whose_backup_nobody_makes_any_more_ends_with_it(
        works: Clockwork) -> None:
    ident = works.make()["id"]
    works.run("04T12:10:00")
    made, = works.backups()
    with works.app.db.writer() as session:
        session.execute(update(Operation).where(
            Operation.resource_id == made.id).values(live_key=None, status="CANCELLED"))
        assert reconciliation.fail_backup(session, made.id, "NEW", "FAILED", "Nobody works.")
    answer = works.app("GET", f"/schedules/{ident}/executions").json["executions"][0]
    assert (answer["state"], answer["output"]) == ("ERROR", "Nobody works.")


def test_old_executions_are_forgotten(works: Clockwork) -> None:
    ident = works.make()["id"]
    with works.app.db.writer() as session:
        for days, state in ((91, ExecutionState.SUCCESS), (92, ExecutionState.ERROR),
                            (93, ExecutionState.RUNNING), (89, ExecutionState.SUCCESS)):
            schedules.add_execution(session, ident, START - datetime.timedelta(days=days), state)
    assert purge_executions(works.app.db, START, 0) == 0
    assert purge_executions(works.app.db, START, 90) == 2
    assert [state for _, state in works.executions(ident)] == ["SUCCESS", "RUNNING"]


# ---- full and incremental, and what is kept -----------------------------------------


@pytest.mark.parametrize(("full_every", "full"), [
    (1, [0, 1, 2, 3, 4, 5]), (3, [0, 3]), (0, [0])])
def test_every_so_many_backups_one_is_full(works: Clockwork, full_every: int,
                                           full: list[int]) -> None:
    works.make(full_every=full_every)
    for minute in range(6):
        works.run(f"04T12:{minute + 1}0:00" if minute < 5 else "04T13:00:00")
        works.end()
    made = works.backups()
    assert len(made) == 6
    assert [place for place, one in enumerate(made) if one.parent_id is None] == full
    for before, after in zip(made, made[1:], strict=False):
        assert after.parent_id in (None, before.id)


def test_a_backup_by_hand_is_no_link_of_a_schedules_chain(works: Clockwork) -> None:
    works.make(full_every=0)
    works.run("04T12:10:00")
    works.end()
    assert works.app("POST", "/backups", {"backup": {
        "name": "b", "instance": INSTANCE}}).status_int == 202
    works.clock.at += datetime.timedelta(minutes=1)
    works.end()
    works.run("04T12:20:00")
    first, second = works.backups()
    assert second.parent_id == first.id


def test_what_failed_is_not_continued(works: Clockwork) -> None:
    works.make(full_every=3)
    for minute, state in enumerate((BackupState.COMPLETED, BackupState.FAILED,
                                    BackupState.COMPLETED), 1):
        works.run(f"04T12:{minute}0:00")
        works.end(state)
    first, _, third = works.backups()
    assert third.parent_id == first.id


def test_old_backups_of_a_schedule_are_deleted(works: Clockwork) -> None:
    works.make(keep_count=2)
    for minute in range(1, 5):
        works.run(f"04T12:{minute}0:00")
        works.end()
    made = [one.id for one in works.backups()]
    works.begun.clear()
    works.runner.clean()
    assert len(works.begun) == 2
    states = {one.id: one.state for one in works.backups()}
    assert [states[ident] for ident in made] == [
        "DELETING", "DELETING", "COMPLETED", "COMPLETED"]
    works.runner.clean()
    assert len(works.begun) == 2


def backup(ident: str, day: int, parent: str | None = None, state: str = "COMPLETED") -> Backup:
    return Backup(id=ident, parent_id=parent, state=state,
                  created=datetime.datetime(2026, 5, day))


@pytest.mark.parametrize(("found", "count", "days", "gone"), [
    ([], 1, 1, ""),
    ([backup("b", 2), backup("a", 1)], None, None, ""),
    ([backup("c", 3), backup("b", 2), backup("a", 1)], 2, None, "a"),
    # the newest is kept however old it is
    ([backup("b", 2), backup("a", 1)], None, 3, "a"),
    ([backup("c", 29), backup("b", 28), backup("a", 1)], None, 3, "a"),
    ([backup("c", 29), backup("b", 28), backup("a", 27)], 1, 30, "ba"),
    # what a kept one continues is kept
    ([backup("d", 4, "c"), backup("c", 3), backup("b", 2, "a"), backup("a", 1)], 1, None, "ba"),
    ([backup("c", 3, "b"), backup("b", 2, "a"), backup("a", 1)], 1, None, ""),
    # what failed is kept until a later one is good
    ([backup("c", 3, None, "FAILED"), backup("b", 2), backup("a", 1)], 2, None, ""),
    ([backup("c", 3), backup("b", 2, None, "FAILED"), backup("a", 1)], 2, None, "b"),
    ([backup("b", 2, None, "FAILED"), backup("a", 1, None, "FAILED")], 1, 1, "")])
def test_what_is_kept(found: list[Backup], count: int | None, days: int | None,
                      gone: str) -> None:
    now = datetime.datetime(2026, 5, 30)
    assert "".join(retention.expendable(found, count, days, now)) == gone


def test_a_backup_that_is_being_restored_is_kept_for_now(works: Clockwork) -> None:
    works.make(keep_count=1)
    for minute in (1, 2):
        works.run(f"04T12:{minute}0:00")
        works.end()
    first, _ = works.backups()
    assert works.app("POST", "/instances", {"instance": {
        "name": "r", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": first.id}}}).status_int == 200
    works.begun.clear()
    works.runner.clean()
    assert works.begun == []
    assert [one.state for one in works.backups()] == ["COMPLETED", "COMPLETED"]


def test_looking_for_what_is_due_asks_the_store_as_often_with_many_schedules(
        works: Clockwork) -> None:
    def asked() -> int:
        seen = works.app.statements()
        works.runner.run()
        works.runner.clean()
        return len(seen)

    few = asked()
    with works.app.db.writer() as session:
        for number in range(50):
            session.add(Schedule(
                name=f"s{number}", tenant_id=MINE, instance_id=INSTANCE, pattern="0 2 * * *",
                next_run_at=START + datetime.timedelta(days=1), created=utcnow(),
                updated=utcnow()))
    assert asked() == few
    with works.app.db.reader() as session:
        assert session.scalars(select(ScheduleExecution).where(
            ScheduleExecution.schedule_id.notin_([f"{OWN}9", f"{FOREIGN}9"]))).all() == []
