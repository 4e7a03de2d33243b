from __future__ import annotations

import pathlib
import time

from tests.unit.guestagent.conftest import Recorder, eventually
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.heartbeat import Heart, StatusWatch
from trove_ng.guestagent.sequence import Sequence


class Status:
    current = ServiceStatus.HEALTHY
    restart_required = True
    reason = "why"


def heart(tmp_path: pathlib.Path, recorder: Recorder, interval: float = 60,
          volume: str | None = "/") -> Heart:
    return Heart(recorder, Status(), Sequence(tmp_path / "sequence"), interval=interval,
                 version="1.2", volume_path=lambda: volume,
                 details=lambda: {"capabilities": ["x"]}, first_wait=0.01)


def test_a_heartbeat_tells_status_space_and_what_the_datastore_can(
        tmp_path: pathlib.Path, recorder: Recorder) -> None:
    beat = heart(tmp_path, recorder).make()
    assert beat.status is ServiceStatus.HEALTHY
    assert beat.agent_version == "1.2"
    assert beat.details == {"restart_required": True, "capabilities": ["x"]}
    assert beat.description == "why"
    assert beat.volume is not None
    assert beat.volume.total >= beat.volume.used > 0
    assert abs(beat.sent_at - time.time()) < 5


def test_a_volume_that_is_away_is_left_out(tmp_path: pathlib.Path,
                                           recorder: Recorder) -> None:
    assert heart(tmp_path, recorder, volume=None).make().volume is None
    assert heart(tmp_path, recorder, volume="/no/such").make().volume is None


def test_the_first_goes_out_at_once_and_a_change_does_not_wait(
        tmp_path: pathlib.Path, recorder: Recorder) -> None:
    beating = heart(tmp_path, recorder)
    beating.start()
    eventually(lambda: len(recorder.heartbeats) == 1)
    beating.nudge()
    eventually(lambda: len(recorder.heartbeats) == 2)
    beating.stop(1)


def test_heartbeats_come_at_the_interval(tmp_path: pathlib.Path, recorder: Recorder) -> None:
    beating = heart(tmp_path, recorder, interval=0.05)
    beating.start()
    eventually(lambda: len(recorder.heartbeats) >= 4)
    beating.stop(1)
    numbers = [beat.sequence for beat in recorder.heartbeats]
    assert numbers == sorted(set(numbers))


def test_it_goes_on_after_the_bus_was_away(tmp_path: pathlib.Path,
                                           recorder: Recorder) -> None:
    recorder.down = True
    beating = heart(tmp_path, recorder)
    beating.start()
    time.sleep(0.1)
    recorder.down = False
    eventually(lambda: recorder.heartbeats)
    beating.stop(1)


def test_numbers_rise_over_restarts_and_over_a_lost_disk(tmp_path: pathlib.Path) -> None:
    first = Sequence(tmp_path / "sequence")
    numbers = [first.next(), first.next(), Sequence(tmp_path / "sequence").next()]
    time.sleep(0.01)
    numbers.append(Sequence(tmp_path / "elsewhere").next())
    assert numbers == sorted(set(numbers))


def test_heartbeats_go_out_although_nothing_can_be_written(tmp_path: pathlib.Path) -> None:
    sequence = Sequence(tmp_path / "no-such-directory" / "sequence")
    assert sequence.next() < sequence.next()


def test_numbers_rise_when_the_clock_goes_back(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sequence").write_text(str(2 ** 50))
    assert Sequence(tmp_path / "sequence").next() == 2 ** 50 + 1


def test_a_failed_look_at_the_database_is_followed_by_another() -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        raise RuntimeError

    watch = StatusWatch(look, 0.01)
    watch.start()
    eventually(lambda: len(looks) >= 3)
    watch.stop(1)
