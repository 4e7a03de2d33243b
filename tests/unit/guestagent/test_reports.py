from __future__ import annotations

from tests.unit.guestagent.conftest import Recorder, eventually
from trove_ng.common.states import ReportState
from trove_ng.guestagent.reports import Outbox
from trove_ng.rpc.messages import StepReport


def report(sequence: int, state: ReportState = ReportState.RUNNING) -> StepReport:
    return StepReport(operation_id="op", step="s", state=state, sequence=sequence)


def test_only_the_newest_progress_waits_while_the_bus_is_away() -> None:
    recorder = Recorder()
    recorder.down = True
    outbox = Outbox(recorder, repeat_after=(), first_wait=0.01)
    outbox.start()
    for sequence in range(1, 5):
        outbox.put(report(sequence))
    recorder.down = False
    eventually(lambda: recorder.steps)
    outbox.stop(1)
    assert [sent.sequence for sent in recorder.steps] == [4]


def test_a_final_report_is_sent_again_in_case_the_bus_lost_it() -> None:
    recorder = Recorder()
    delivered: list[StepReport] = []
    outbox = Outbox(recorder, on_delivered=delivered.append, repeat_after=(0.05, 0.05))
    outbox.start()
    final = report(9, ReportState.SUCCEEDED)
    outbox.put(final)
    eventually(lambda: len(recorder.steps) == 3)
    outbox.stop(1)
    assert recorder.steps == [final, final, final]
    assert delivered == [final]


def test_reports_go_on_when_nothing_can_be_remembered() -> None:
    recorder = Recorder()

    def full(_report: StepReport) -> None:
        raise OSError(28, "No space left on device")

    outbox = Outbox(recorder, on_delivered=full, repeat_after=())
    outbox.start()
    outbox.put(report(1, ReportState.FAILED))
    eventually(lambda: len(recorder.steps) == 1)
    outbox.put(report(2, ReportState.SUCCEEDED))
    eventually(lambda: len(recorder.steps) == 2)
    outbox.stop(1)


def test_stopping_sends_what_is_due_first() -> None:
    recorder = Recorder()
    outbox = Outbox(recorder, repeat_after=(60,))
    outbox.put(report(1, ReportState.FAILED))
    outbox.start()
    outbox.stop(2)
    assert [sent.sequence for sent in recorder.steps] == [1]


def test_reports_that_waited_for_the_bus_go_out_in_their_order() -> None:
    recorder = Recorder()
    recorder.down = True
    outbox = Outbox(recorder, repeat_after=(), first_wait=0.01)
    outbox.start()
    wanted = [StepReport(operation_id="op", step=name, state=ReportState.SUCCEEDED,
                         sequence=number) for number, name in enumerate("zay")]
    for one in wanted:
        outbox.put(one)
    recorder.down = False
    eventually(lambda: len(recorder.steps) == 3)
    outbox.stop(1)
    assert recorder.steps == wanted
