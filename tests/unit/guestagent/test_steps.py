from __future__ import annotations

import errno
import os
import pathlib
import select
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.unit.guestagent.conftest import Recorder, eventually
from trove_ng.common.errors import Conflict, GuestError, UnsavedChanges
from trove_ng.common.states import ReportState
from trove_ng.guestagent import leftovers, steps
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.storage.http import DamagedBackup, FullBackupNeeded, SeemsDamaged
from trove_ng.rpc import messages as m

RUNNING, SUCCEEDED, FAILED = ReportState.RUNNING, ReportState.SUCCEEDED, ReportState.FAILED


class Life:
    """One life of an agent on a disk that stays."""

    def __init__(self, path: pathlib.Path, recorder: Recorder) -> None:
        self.recorder = recorder
        self.outbox = Outbox(recorder, on_delivered=self._delivered, repeat_after=(),
                             first_wait=0.01)
        self.engine = steps.StepEngine(
            steps.StepStore(path), self.outbox, Sequence(path / "sequence"),
            patience=0.05)
        self.outbox.start()

    def _delivered(self, report: m.StepReport) -> None:
        self.engine.delivered(report)

    def last(self) -> m.StepReport:
        """Return the first final report that arrives."""
        final: m.StepReport = eventually(lambda: next(
            (report for report in reversed(self.recorder.steps)
             if report.state is not RUNNING), None))
        eventually(lambda: not self.engine.busy)
        return final


@pytest.fixture
def life(tmp_path: pathlib.Path, recorder: Recorder) -> Life:
    return Life(tmp_path / "steps", recorder)


def request(step: str = "backup", operation: str = "op") -> m.StepRequest:
    return m.StepRequest(operation_id=operation, step=step)


def flag(_request: Any, _progress: Any = None) -> m.Flag:
    return m.Flag(value=True)


def test_a_step_is_done_once_and_a_repeat_is_answered_from_memory(life: Life) -> None:
    done: list[int] = []

    def work(_request: m.StepRequest, progress: steps.Progress) -> m.Flag:
        done.append(1)
        return m.Flag(value=True)

    life.engine.submit(request(), work)
    first = life.last()
    assert (first.state, first.result, first.percent) == (SUCCEEDED, {"value": True}, 100)
    life.recorder.steps.clear()
    life.engine.submit(request(), work)
    again = life.last()
    assert again.result == first.result
    assert again.sequence > first.sequence
    assert done == [1]


def test_a_repeat_while_it_runs_does_nothing(life: Life) -> None:
    gate, done = threading.Event(), []

    def work(_request: m.StepRequest, progress: steps.Progress) -> m.Flag:
        done.append(1)
        gate.wait(5)
        return m.Flag(value=True)

    life.engine.submit(request(), work)
    life.engine.submit(request(), work)
    gate.set()
    assert life.last().state is SUCCEEDED
    assert done == [1]


def test_another_step_is_refused_while_one_runs_and_may_be_asked_for_later(
        life: Life) -> None:
    gate = threading.Event()
    life.engine.submit(request("one"), lambda _r, _p: m.Flag(value=gate.wait(5)))
    life.engine.submit(request("two"), flag)
    refused = eventually(lambda: [r for r in life.recorder.steps if r.step == "two"])[0]
    assert refused.state is FAILED
    assert "step one" in refused.error
    with pytest.raises(Conflict):
        life.engine.call(request("three"), flag, m.Flag)
    gate.set()
    eventually(lambda: not life.engine.busy)
    life.engine.submit(request("two"), flag)
    eventually(lambda: [r for r in life.recorder.steps
                        if r.step == "two" and r.state is SUCCEEDED])


def test_a_failure_tells_only_what_may_be_told(life: Life) -> None:
    def fail(_request: m.StepRequest, _progress: steps.Progress) -> m.Flag:
        raise RuntimeError("password=hunter2")

    life.engine.submit(request(), fail)
    report = life.last()
    assert report.state is FAILED
    assert "hunter2" not in report.error
    assert "RuntimeError" in report.error
    life.recorder.steps.clear()

    def typed(_request: m.StepRequest, _progress: steps.Progress) -> m.Flag:
        raise GuestError("The disk is full.")

    life.engine.submit(request("other"), typed)
    assert life.last().error == "The disk is full."


def test_reports_wait_for_the_bus(life: Life) -> None:
    life.recorder.down = True
    life.engine.submit(request(), flag)
    eventually(lambda: not life.engine.busy)
    assert life.recorder.steps == []
    life.recorder.down = False
    assert life.last().state is SUCCEEDED


@pytest.mark.parametrize(("kind", "told"), [
    (DamagedBackup, {"proved": True, "checksum": "a"}), (SeemsDamaged, {"checksum": "a"})])
def test_a_damaged_backup_is_reported_as_the_one_to_blame(
        life: Life, kind: type[DamagedBackup], told: dict[str, object]) -> None:
    def work(_request: m.StepRequest, _progress: steps.Progress) -> m.Flag:
        err = kind("The backup is damaged.")
        err.checksum = "a"
        raise err

    life.engine.submit(request(), work)
    assert (life.last().state, life.last().error, life.last().result) == (
        FAILED, "The backup is damaged.", {m.DAMAGED: told})


def test_that_only_a_full_backup_can_be_made_is_told_beside_the_reason(life: Life) -> None:
    def work(_request: m.StepRequest, _progress: steps.Progress) -> m.Flag:
        raise FullBackupNeeded("The log is not kept.")

    life.engine.submit(request(), work)
    assert (life.last().error, life.last().result) == (
        "The log is not kept.", {m.FULL_NEEDED: True})


def test_a_step_that_a_crash_cut_off_is_reported_failed_by_the_next_life(
        tmp_path: pathlib.Path, recorder: Recorder) -> None:
    store = steps.StepStore(tmp_path / "steps")
    store.put(steps.StepRecord(operation_id="op", step="backup", state=RUNNING))
    life = Life(tmp_path / "steps", recorder)
    life.engine.recover()
    assert life.last().error == steps.INTERRUPTED
    recorder.steps.clear()
    life.engine.submit(request(), flag)
    assert life.last().state is FAILED
    recorder.steps.clear()
    life.engine.submit(request(), flag, rerun_safe=True)
    assert life.last().state is SUCCEEDED


def test_a_result_that_was_not_reported_is_reported_by_the_next_life(
        tmp_path: pathlib.Path) -> None:
    deaf, ears = Recorder(), Recorder()
    deaf.down = True
    first = Life(tmp_path / "steps", deaf)
    first.engine.submit(request(), flag)
    eventually(lambda: [one.state for one in steps.StepStore(tmp_path / "steps").all()]
               == [SUCCEEDED])
    first.outbox.stop(1)
    second = Life(tmp_path / "steps", ears)
    second.engine.recover()
    report = second.last()
    assert (report.state, report.result) == (SUCCEEDED, {"value": True})
    third = Life(tmp_path / "steps", Recorder())
    eventually(lambda: all(record.reported for record in
                           steps.StepStore(tmp_path / "steps").all()))
    third.engine.recover()
    third.outbox.stop(1)
    assert third.recorder.steps == []


def wait_for_cancel(begun: threading.Event) -> Any:
    def work(_request: m.StepRequest, progress: steps.Progress) -> m.Flag:
        begun.set()
        eventually(lambda: progress.report(1))
        raise AssertionError("it was not cancelled")
    return work


def test_a_step_that_is_cancelled_ends_and_stays_cancelled(life: Life) -> None:
    begun = threading.Event()
    life.engine.submit(request(), wait_for_cancel(begun))
    assert begun.wait(5)
    assert life.engine.cancel(request())
    assert (life.last().state, life.last().error) == (FAILED, steps.CANCELLED)
    life.recorder.steps.clear()
    life.engine.submit(request(), flag, rerun_safe=True)
    assert life.last().error == steps.CANCELLED


def test_the_step_after_a_cancelled_one_runs(life: Life) -> None:
    begun = threading.Event()
    life.engine.submit(request(), wait_for_cancel(begun))
    assert begun.wait(5)
    life.engine.cancel(request())
    life.last()
    life.recorder.steps.clear()

    def look(_request: m.StepRequest, progress: steps.Progress) -> m.Flag:
        progress.check()
        return m.Flag(value=True)

    life.engine.submit(request("restore"), look)
    assert life.last().state is SUCCEEDED


def test_a_step_that_comes_after_its_cancellation_does_not_begin(life: Life) -> None:
    done: list[int] = []
    assert life.engine.cancel(request())
    life.engine.submit(request(), lambda *_: done.append(1))  # type: ignore[func-returns-value]
    assert life.last().error == steps.CANCELLED
    assert done == []


def test_a_step_that_waits_for_its_turn_can_be_cancelled(life: Life, tmp_path: pathlib.Path,
                                                         ) -> None:
    done: list[int] = []
    patient = steps.StepEngine(
        steps.StepStore(tmp_path / "other"), life.outbox, Sequence(tmp_path / "n"), patience=5)
    begun = threading.Event()
    patient.submit(request("first"), wait_for_cancel(begun))
    assert begun.wait(5)
    patient.submit(request("second"), lambda *_: done.append(1))  # type: ignore[func-returns-value]
    assert patient.cancel(request("second"))
    assert patient.cancel(request("first"))
    eventually(lambda: not patient.busy)
    patient.submit(request("third"), flag)
    eventually(lambda: [one.state for one in steps.StepStore(tmp_path / "other").all()
                        if one.step == "third"] == [SUCCEEDED])
    assert done == []


def test_a_result_that_cannot_be_sent_is_a_failure_and_blocks_nothing(life: Life) -> None:
    def odd(_request: Any, _progress: Any = None) -> Any:
        return object()

    life.engine.submit(request(), odd)
    assert life.last().state is FAILED
    with pytest.raises(TypeError):
        life.engine.call(request("call"), odd, m.Flag)
    assert not life.engine.busy


def test_progress_rises_and_never_reaches_the_end_before_it(life: Life) -> None:
    sent: list[int] = []
    progress = steps.Progress(sent.append, threading.Event())
    for percent in (10, 5, 100):
        progress.report(percent)
    assert sent == [10]
    assert progress.percent == 99


def test_a_running_step_is_told_to_end_and_may_run_again_later(life: Life) -> None:
    started = threading.Event()

    def work(_request: m.StepRequest, progress: steps.Progress) -> m.Flag:
        started.set()
        while True:
            progress.check()

    life.engine.submit(request(), work)
    started.wait(5)
    life.engine.stop(5)
    report = life.last()
    assert (report.state, report.error) == (FAILED, steps.INTERRUPTED)


def test_a_call_is_remembered_when_it_succeeded_and_repeated_when_it_failed(
        life: Life) -> None:
    done: list[int] = []

    def work(_request: m.StepRequest) -> m.Flag:
        done.append(1)
        if len(done) == 1:
            raise GuestError("Not now.")
        return m.Flag(value=True)

    with pytest.raises(GuestError):
        life.engine.call(request("restart"), work, m.Flag)
    assert life.engine.call(request("restart"), work, m.Flag) == m.Flag(value=True)
    assert life.engine.call(request("restart"), work, m.Flag) == m.Flag(value=True)
    assert done == [1, 1]
    life.engine.recover()
    life.outbox.stop(1)
    assert life.recorder.steps == []


def test_a_call_that_is_repeated_while_it_runs_is_done_once(
        tmp_path: pathlib.Path, recorder: Recorder) -> None:
    outbox = Outbox(recorder)
    engine = steps.StepEngine(steps.StepStore(tmp_path / "steps"), outbox,
                              Sequence(tmp_path / "sequence"), patience=30)
    begun, gate = threading.Event(), threading.Event()
    done: list[int] = []
    answers: list[m.Flag] = []

    def work(_request: Any) -> m.Flag:
        done.append(1)
        begun.set()
        return m.Flag(value=gate.wait(30))

    callers = [threading.Thread(target=lambda: answers.append(
        engine.call(request("restart"), work, m.Flag))) for _ in range(3)]
    for caller in callers:
        caller.start()
    assert begun.wait(30)
    gate.set()
    for caller in callers:
        caller.join(30)
    assert answers == [m.Flag(value=True)] * 3
    assert done == [1]


def test_a_step_waits_its_turn_for_a_while(tmp_path: pathlib.Path,
                                           recorder: Recorder) -> None:
    outbox = Outbox(recorder, repeat_after=())
    outbox.start()
    engine = steps.StepEngine(steps.StepStore(tmp_path / "s"), outbox,
                              Sequence(tmp_path / "sequence"), patience=5)
    with engine.exclusive("resume"):
        engine.submit(request(), flag)
        engine.submit(request(), flag)
        assert recorder.steps == []
    eventually(lambda: [r for r in recorder.steps if r.state is SUCCEEDED])
    outbox.stop(1)
    assert not [r for r in recorder.steps if r.state is FAILED]


def test_nothing_else_runs_while_the_server_is_changed(life: Life) -> None:
    with life.engine.exclusive("mount_volume"):
        with pytest.raises(Conflict):
            life.engine.call(request(), flag, m.Flag)
    assert life.engine.call(request(), flag, m.Flag).value


def test_only_the_newest_finished_steps_are_remembered(tmp_path: pathlib.Path) -> None:
    store = steps.StepStore(tmp_path, remembered=2)
    for number in range(4):
        store.put(steps.StepRecord(operation_id=str(number), step="s", state=SUCCEEDED,
                                   reported=number != 0, ended_at=number))
    store.prune()
    assert sorted(record.operation_id for record in store.all()) == ["0", "2", "3"]


def test_names_from_the_bus_do_not_leave_the_directory(tmp_path: pathlib.Path) -> None:
    store = steps.StepStore(tmp_path / "steps")
    store.put(steps.StepRecord(operation_id="../../x", step="/etc/y", state=SUCCEEDED))
    assert [path.name for path in tmp_path.iterdir()] == ["steps"]
    assert store.get("../../x", "/etc/y") is not None


def test_records_hold_no_request_and_are_for_the_owner_only(
        life: Life, tmp_path: pathlib.Path) -> None:
    life.engine.submit(m.PrepareRequest(
        operation_id="op", step="prepare", datastore="d", datastore_version="1",
        memory_mb=1, users=[m.UserSpec(name="u", password=m.Secret("hunter2"))]), flag)
    life.last()
    for path in (tmp_path / "steps").glob("*.json"):
        assert b"hunter2" not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_that_is_repeated_while_it_runs_waits_for_its_end(
        life: Life, fails: bool) -> None:
    gate, done, answers = threading.Event(), [], []

    def work(_request: m.StepRequest) -> m.Flag:
        done.append(1)
        gate.wait(5)
        if fails:
            raise UnsavedChanges("It did not stop.")
        return m.Flag(value=True)

    def ask() -> None:
        try:
            answers.append(life.engine.call(request("stop"), work, m.Flag))
        except UnsavedChanges as err:
            answers.append(err.message)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for one in asking:
        one.start()
    eventually(lambda: done)
    gate.set()
    for one in asking:
        one.join(5)
    assert answers == ["It did not stop." if fails else m.Flag(value=True)] * 3
    assert done == [1]


def test_a_call_that_a_crash_cut_off_runs_again_when_it_is_repeated(
        tmp_path: pathlib.Path, recorder: Recorder) -> None:
    life = Life(tmp_path / "steps", recorder)
    with pytest.raises(SystemExit):
        life.engine.call(request("stop"), lambda _request: sys.exit(9), m.Flag)
    record = steps.StepStore(tmp_path / "steps").get("op", "stop")
    assert record is not None
    record.state = RUNNING  # a killed agent writes no end
    steps.StepStore(tmp_path / "steps").put(record)
    again = Life(tmp_path / "steps", recorder)
    again.engine.recover()
    assert again.engine.call(request("stop"), flag, m.Flag) == m.Flag(value=True)


def test_a_disk_that_fills_while_a_step_runs_loses_no_end(
        life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(_request: m.StepRequest, _progress: steps.Progress) -> m.Flag:
        monkeypatch.setattr(steps.files, "write_bytes", full)
        return m.Flag(value=True)

    def full(*_args: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    life.engine.submit(request(), work)
    assert life.last().state is SUCCEEDED
    life.recorder.steps.clear()
    life.engine.submit(request(), work)
    assert life.last().state is SUCCEEDED
    # a new step cannot be remembered, and is refused
    life.recorder.steps.clear()
    life.engine.submit(request("other"), work)
    assert life.last().error == "A disk of the database server is full."
    assert not life.engine.busy


def test_a_full_disk_during_a_step_is_named(life: Life) -> None:
    def work(_request: m.StepRequest, _progress: steps.Progress) -> m.Flag:
        with open("/dev/full", "wb") as full:
            full.write(b"x" * 100_000)
        return m.Flag(value=True)

    life.engine.submit(request(), work)
    assert life.last().error == "A disk of the database server is full."


WRITER = """
import sys
from trove_ng.common.states import ReportState
from trove_ng.guestagent import steps
import pathlib
store = steps.StepStore(pathlib.Path(sys.argv[1]))
print("up", flush=True)
for number in range(10 ** 9):
    store.put(steps.StepRecord(operation_id="op", step="s", state=ReportState.RUNNING,
                               result={"number": number, "more": "x" * 20000}))
"""


def test_a_record_is_whole_whenever_the_agent_is_killed(tmp_path: pathlib.Path) -> None:
    last = -1
    for wait in range(int(os.environ.get("TROVE_GUESTFAULTS", "1")) * 8):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)],
                                 stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        select.select([], [], [], 0.003 * (wait + 1))
        child.kill()
        child.wait()
        child.stdout.close()
        record = steps.StepStore(tmp_path).get("op", "s")
        if record is not None:
            assert record.result["more"] == "x" * 20000
            last = record.result["number"]
        leftovers.remove_unfinished(tmp_path)
        assert len(list(tmp_path.iterdir())) <= 1
    assert last >= 0


def placed(step: str, fence: int, word: int) -> m.StepRequest:
    return m.StepRequest(operation_id="op", step=step, fence=fence, word=word)


@pytest.mark.parametrize("newest", [(2, 1), (1, 9)])
def test_a_call_after_newer_ones_of_its_operation_is_refused(
        life: Life, newest: tuple[int, int]) -> None:
    """A worker that was stopped sends it, or the bus was slow: it is taken back already."""
    done: list[str] = []

    def work(asked: m.StepRequest) -> m.Empty:
        done.append(asked.step)
        return m.Empty()

    life.engine.call(placed("start_again", *newest), work, m.Empty)
    with pytest.raises(Conflict, match=steps.LATE):
        life.engine.call(placed("stop", 1, 3), work, m.Empty)
    life.engine.call(placed("stop", 2, 2), work, m.Empty)
    other = m.StepRequest(operation_id="other", step="stop", fence=1, word=1)
    life.engine.call(other, work, m.Empty)
    # an older release says nothing about it
    life.engine.call(m.StepRequest(operation_id="op", step="more"), work, m.Empty)
    assert done == ["start_again", "stop", "stop", "more"]


@pytest.mark.parametrize("again", [False, True])
def test_what_is_late_is_known_to_the_next_life_of_the_agent(
        life: Life, tmp_path: pathlib.Path, recorder: Recorder, again: bool) -> None:
    """Also if the newer request was answered from memory."""
    if again:
        life.engine.call(placed("start", 1, 1), flag, m.Flag)
    life.engine.call(placed("start", 2, 1), flag, m.Flag)
    after = Life(tmp_path / "steps", recorder)
    with pytest.raises(Conflict, match=steps.LATE):
        after.engine.call(placed("stop", 1, 2), flag, m.Flag)


@pytest.mark.parametrize("step", ["", "backup"])
def test_who_took_over_last_is_known_to_the_next_life_of_the_agent(
        life: Life, tmp_path: pathlib.Path, recorder: Recorder, step: str) -> None:
    for fence in (2, 3):
        life.engine.cancel(placed(step, fence, 1))
    after = Life(tmp_path / "steps", recorder)
    with pytest.raises(Conflict, match=steps.LATE):
        after.engine.call(placed("stop", 2, 2), flag, m.Flag)
    after.engine.call(placed("stop", 3, 2), flag, m.Flag)


def test_long_work_that_comes_late_is_not_begun_and_nothing_is_reported(life: Life) -> None:
    """A report of it would be taken for that of who works on it now."""
    done: list[int] = []
    life.engine.call(placed("undo", 2, 1), flag, m.Flag)
    life.engine.submit(placed("backup", 1, 1), lambda *_: done.append(1))  # type: ignore[func-returns-value]
    life.engine.submit(placed("other", 2, 2), flag)
    assert life.last().step == "other"
    assert {one.step for one in life.recorder.steps} == {"other"}
    assert done == []


def test_long_work_that_waits_is_not_begun_after_what_came_later(
        tmp_path: pathlib.Path, life: Life) -> None:
    patient = steps.StepEngine(
        steps.StepStore(tmp_path / "other"), life.outbox, Sequence(tmp_path / "n"), patience=5)
    begun, done = threading.Event(), []
    patient.submit(placed("first", 1, 1), wait_for_cancel(begun))
    assert begun.wait(5)
    patient.submit(placed("second", 1, 2), lambda *_: done.append(1))  # type: ignore[func-returns-value]
    assert patient.cancel(placed("first", 2, 1))
    eventually(lambda: not patient.busy)
    patient.call(placed("undo", 2, 2), flag, m.Flag)
    assert done == []
    with pytest.raises(Conflict, match=steps.LATE):
        patient.cancel(placed("undo", 1, 3))


def test_what_is_no_step_is_refused_when_it_comes_late(life: Life) -> None:
    life.engine.require_in_time(m.HoldRequest(
        token="a", seconds=1, operation_id="op", fence=2, word=1))
    with pytest.raises(Conflict, match=steps.LATE):
        life.engine.require_in_time(m.HoldRequest(
            token="a", seconds=1, operation_id="op", fence=1, word=2))
    life.engine.require_in_time(m.HoldRequest(token="a", seconds=1))
