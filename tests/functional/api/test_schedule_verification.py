"""Backups of schedules that are verified, each once, whoever looks."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from tests.functional.api.conftest import OWN, Api
from tests.functional.api.test_schedules import Clockwork
from trove_ng.common.states import BackupState, VerificationState
from trove_ng.db.models import Backup, Operation, QuotaUsage, Reservation, ScheduleExecution
from trove_ng.db.repositories import schedules
from trove_ng.operations.drills import Drills


@pytest.fixture
def works(app: Api) -> Clockwork:
    return Clockwork(app)


def drills(works: Clockwork) -> Drills:
    app = works.app
    return Drills(app.conf, app.db, works.clock, app.services.requests, works.begun.append)


def tick(works: Clockwork, at: str, state: BackupState = BackupState.COMPLETED) -> None:
    works.run(at)
    works.end(state)
    drills(works).run()


def states(works: Clockwork, ident: str) -> list[Any]:
    answer = works.app("GET", f"/schedules/{ident}/executions").json
    return [one["verification"] for one in reversed(answer["executions"])]


def verifications(works: Clockwork) -> list[Operation]:
    with works.app.db.reader() as session:
        return list(session.scalars(select(Operation).where(
            Operation.action == "backup.verify").order_by(Operation.created)))


def finish(works: Clockwork, state: VerificationState) -> None:
    """Let the verifications have ended."""
    with works.app.db.writer() as session:
        for one in session.scalars(select(Operation).where(
                Operation.action == "backup.verify", Operation.live_key.is_not(None))):
            one.live_key, one.status = None, "SUCCEEDED"
            schedules.note_verification(session, one.resource_id, state)
        session.execute(delete(Reservation))
        session.execute(update(QuotaUsage).values(in_use=0, reserved=0))


@pytest.mark.parametrize(("every", "wanted"), [
    (1, ["GOOD", "GOOD", "GOOD", "GOOD"]), (2, [None, "GOOD", None, "GOOD"]),
    (5, [None, None, None, None])])
def test_every_nth_backup_is_verified(works: Clockwork, every: int, wanted: list[Any]) -> None:
    made = works.make(verify={"every": every})
    assert (made["verify"], made["next_verify_at"]) == ({"every": every}, None)
    for minute in (10, 20, 30, 40):
        tick(works, f"04T12:{minute}:00")
        drills(works).run()
        finish(works, VerificationState.GOOD)
    assert states(works, made["id"]) == wanted
    assert len(verifications(works)) == wanted.count("GOOD")


def test_a_pattern_verifies_the_newest_good_backup(works: Clockwork) -> None:
    made = works.make(verify={"pattern": "25  *  * * *"})
    assert made["verify"] == {"pattern": "25 * * * *"}
    assert made["next_verify_at"] == "2026-05-04T12:25:00"
    tick(works, "04T12:10:00")
    tick(works, "04T12:20:00", BackupState.FAILED)
    assert verifications(works) == []
    tick(works, "04T12:25:00")
    assert states(works, made["id"]) == ["RUNNING", None]
    finish(works, VerificationState.CORRUPT)
    tick(works, "04T12:26:00")
    assert states(works, made["id"]) == ["CORRUPT", None]
    shown = works.app("GET", f"/schedules/{made['id']}").json["schedule"]
    assert shown["next_verify_at"] == "2026-05-04T13:25:00"


def test_many_taskmanagers_verify_a_backup_once(works: Clockwork) -> None:
    for number, kind in enumerate(({"every": 1}, {"pattern": "10 * * * *"}), 1):
        works.make(instance=f"{OWN}{number}", verify=kind)
    works.run("04T12:10:00")
    works.end()
    before = len(works.begun)
    # of a project one after the other
    for count in (1, 2, 2):
        found = [threading.Thread(target=drills(works).run) for _ in range(6)]
        for one in found:
            one.start()
        for one in found:
            one.join()
        assert len(verifications(works)) == len(works.begun) - before == count
        finish(works, VerificationState.GOOD)


def test_what_cannot_begin_waits_and_what_cannot_be_fails(works: Clockwork) -> None:
    works.app.conf.set_override("backup_verification_limit", 0)
    made = works.make(verify={"every": 1})
    tick(works, "04T12:10:00")
    tick(works, "04T12:20:00", BackupState.FAILED)
    assert states(works, made["id"]) == ["WAITING", "FAILED"]
    with works.app.db.reader() as session:
        assert session.scalar(select(func.sum(QuotaUsage.reserved)).where(
            QuotaUsage.tenant_id == "trove-backup-verification")) in (None, 0)
    works.app.conf.clear_override("backup_verification_limit")
    drills(works).run()
    assert states(works, made["id"]) == ["RUNNING", "FAILED"]


@pytest.mark.parametrize(("kind", "what"), [
    ({"every": 1}, "begin"), ({"pattern": "10 * * * *"}, "choose")])
def test_one_that_cannot_be_worked_on_keeps_no_other_back(
        works: Clockwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
        kind: dict[str, Any], what: str) -> None:
    broken, good = (works.make(instance=f"{OWN}{number}", verify=kind)["id"]
                    for number in (1, 2))
    works.run("04T12:10:00")
    works.end()
    found = drills(works)
    do = getattr(found, f"_{what}")

    def fail(schedule_id: str, *args: Any) -> Any:
        if schedule_id == broken:
            raise RuntimeError("It is broken.")
        return do(schedule_id, *args)

    monkeypatch.setattr(found, f"_{what}", fail)
    # of a project one after the other
    for _ in range(2):
        found.run()
    assert states(works, good) == ["RUNNING"]
    assert states(works, broken) == ["WAITING" if what == "begin" else None]
    assert f"the verification of schedule {broken} could not be worked on" in caplog.text
    monkeypatch.undo()
    finish(works, VerificationState.GOOD)
    found.run()
    assert states(works, broken) == ["RUNNING"]


def test_a_backup_that_is_gone_is_not_verified(works: Clockwork) -> None:
    made = works.make(verify={"every": 1})
    works.run("04T12:10:00")
    works.end()
    with works.app.db.writer() as session:
        session.execute(update(Backup).where(Backup.schedule_id == made["id"]).values(
            state="CORRUPT"))
    drills(works).run()
    assert states(works, made["id"]) == ["FAILED"]


def test_what_is_verified_can_be_changed(works: Clockwork) -> None:
    ident = works.make()["id"]

    def change(**values: Any) -> Any:
        return works.app("PATCH", f"/schedules/{ident}", {"schedule": values})

    shown = change(verify={"pattern": "0 4 * * *"}).json["schedule"]
    assert shown["next_verify_at"] == "2026-05-05T04:00:00"
    shown = change(time_zone="Europe/Berlin").json["schedule"]
    assert shown["next_verify_at"] == "2026-05-05T02:00:00"
    shown = change(verify={"every": 3}).json["schedule"]
    assert (shown["verify"], shown["next_verify_at"]) == ({"every": 3}, None)
    assert change(verify=None).json["schedule"]["verify"] is None
    for bad in ({}, {"every": 0}, {"every": 1, "pattern": "0 4 * * *"}, {"pattern": "x"},
                {"pattern": "61 4 * * *"}):
        assert change(verify=bad).status_int == 400
    with works.app.db.reader() as session:
        assert session.scalars(select(ScheduleExecution).where(
            ScheduleExecution.schedule_id == ident)).all() == []
