from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.guestagent.conftest import Recorder, ToyManager, eventually
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import GuestError
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent import health
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.status import DatabaseStatus
from trove_ng.guestagent.steps import StepEngine, StepStore

MB = 1024 ** 2


class HandClock(SystemClock):
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time


class Volume:
    """What statvfs tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.total, self.inodes, self.flags = 500 * MB, 1000 * MB, 1, 0
        monkeypatch.setattr(health.os, "statvfs", lambda _path: self)

    f_frsize = 4096
    f_files = 10

    @property
    def f_bavail(self) -> int:
        return self.free // 4096

    @property
    def f_bfree(self) -> int:
        return self.free // 4096

    @property
    def f_blocks(self) -> int:
        return self.total // 4096

    @property
    def f_favail(self) -> int:
        return self.inodes

    @property
    def f_flag(self) -> int:
        return self.flags


@pytest.fixture
def volume(monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(monkeypatch)


@pytest.mark.parametrize(("total", "full_below"), [
    (100 * MB, 4 * MB), (1000 * MB, 10 * MB), (100_000 * MB, 64 * MB)])
def test_a_volume_is_full_below_its_reserve_and_well_again_at_twice_of_it(
        volume: Volume, total: int, full_below: int) -> None:
    volume.total = total
    watch = health.VolumeHealth()
    seen = []
    for free in (full_below, full_below - 4096, 2 * full_below - 4096, 2 * full_below,
                 full_below):
        volume.free = free
        seen.append(watch.trouble("/"))
    assert seen == ["", health.FULL, health.FULL, "", ""]


def test_a_volume_without_inodes_or_that_is_read_only_is_told(volume: Volume) -> None:
    watch = health.VolumeHealth()
    volume.inodes = 0
    assert watch.trouble("/") == health.NO_INODES
    volume.flags = os.ST_RDONLY
    assert watch.trouble("/") == health.READ_ONLY


def test_a_volume_with_less_than_a_tenth_left_is_nearly_full(volume: Volume) -> None:
    volume.free = 100 * MB
    assert not health.VolumeHealth.nearly_full("/")
    volume.free = 99 * MB
    assert health.VolumeHealth.nearly_full("/")


class Database:
    """What a look at a database shows, and the status that follows."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.clock = HandClock()
        self.seen = Finding(ServiceStatus.HEALTHY, "", "1")
        self.status = DatabaseStatus(
            instance_id="i", state_dir=folder, clock=self.clock, probe=lambda: self.seen,
            volume_dir=lambda: None)
        self.status.load()
        self.status.begin_install()
        self.status.end_install()
        self.shown: list[str] = []
        self.status.on_change(lambda: self.shown.append(str(self.status.current)))

    def look(self, status: ServiceStatus, incarnation: str = "", reason: str = "") -> str:
        self.clock.time += 3
        self.seen = Finding(status, reason, incarnation)
        return str(self.status.update())


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Database:
    return Database(tmp_path)


def test_one_end_is_an_accident(database: Database) -> None:
    assert database.look(ServiceStatus.SHUTDOWN) == "CRASHED"
    assert database.status.is_down
    assert database.look(ServiceStatus.RUNNING) == "RUNNING"
    assert not database.status.is_down
    assert database.look(ServiceStatus.HEALTHY, "2") == "HEALTHY"


def test_a_database_that_ends_again_and_again_is_crashed_until_it_ran_for_a_minute(
        database: Database) -> None:
    for number in range(20):
        database.look(ServiceStatus.SHUTDOWN, reason="It has ended.")
        database.look(ServiceStatus.HEALTHY, str(number + 2))
    assert database.shown == ["CRASHED", "HEALTHY", "CRASHED", "HEALTHY", "CRASHED",
                              *["CRASHED"] * 35]  # its reason changes
    assert database.status.reason == "The database ends again and again."
    assert database.look(ServiceStatus.HEALTHY, "21") == "CRASHED"
    database.clock.time += 60
    assert database.look(ServiceStatus.HEALTHY, "21") == "HEALTHY"
    assert database.status.reason == ""


def test_a_supervisor_that_is_faster_than_a_look_does_not_hide_a_loop(
        database: Database) -> None:
    assert [database.look(ServiceStatus.HEALTHY, str(run)) for run in (2, 3, 3, 4)] == [
        "HEALTHY", "HEALTHY", "HEALTHY", "CRASHED"]


def test_ends_that_were_asked_for_are_not_counted(database: Database) -> None:
    for run in range(2, 9):
        with database.status.restarting():
            database.seen = Finding(ServiceStatus.HEALTHY, "", str(run))
        assert database.status.current is ServiceStatus.HEALTHY
    for run in range(9, 15):
        database.status.expect_running(False)
        assert database.look(ServiceStatus.SHUTDOWN) == "SHUTDOWN"
        assert not database.status.is_down
        with database.status.restarting():
            database.seen = Finding(ServiceStatus.HEALTHY, "", str(run))
        assert database.status.current is ServiceStatus.HEALTHY


def test_ends_of_long_ago_are_no_loop(database: Database) -> None:
    for run in range(2, 9):
        database.clock.time += 400
        database.look(ServiceStatus.SHUTDOWN)
        assert database.look(ServiceStatus.HEALTHY, str(run)) == "HEALTHY"


def test_a_reason_is_told_with_the_status_and_when_it_changes(database: Database) -> None:
    database.look(ServiceStatus.BLOCKED, "1", health.FULL)
    database.look(ServiceStatus.BLOCKED, "1", health.FULL)
    assert database.status.reason == health.FULL
    database.look(ServiceStatus.BLOCKED, "1", "The database runs and does not answer.")
    assert database.shown == ["BLOCKED", "BLOCKED"]


def test_a_prepare_that_failed_or_was_cut_off_says_so(
        database: Database, tmp_path: pathlib.Path) -> None:
    database.status.begin_install()
    assert database.status.reason == ""
    database.status.end_install(failed=True)
    assert database.status.reason == "Preparing the instance failed."
    again = Database.__new__(Database)
    status = DatabaseStatus(instance_id="i", state_dir=tmp_path, clock=HandClock(),
                            probe=lambda: again.seen, volume_dir=lambda: None)
    status.load()
    assert status.reason == "Preparing the instance was cut off, or failed."


def test_a_full_root_disk_does_not_keep_the_status_from_changing(
        database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trove_ng.guestagent.status.files.write_text", full)
    database.status.expect_running(False)
    assert database.look(ServiceStatus.SHUTDOWN) == "SHUTDOWN"


# ---- volume and database together -----------------------------------------------------


@pytest.mark.parametrize(("seen", "shown"), [
    (ServiceStatus.HEALTHY, "BLOCKED"), (ServiceStatus.RUNNING, "BLOCKED"),
    (ServiceStatus.BLOCKED, "BLOCKED"), (ServiceStatus.SHUTDOWN, "CRASHED")])
def test_a_full_volume_is_the_reason_whatever_the_database_does(
        manager: ToyManager, volume: Volume, seen: ServiceStatus, shown: str) -> None:
    pathlib.Path(manager.volume_mount_point).mkdir()
    manager.seen = ServiceStatus.HEALTHY
    manager.status.begin_install()
    manager.status.end_install()
    volume.free = MB
    manager.seen = seen
    assert manager.look() == shown
    assert manager.status.reason == health.FULL
    assert not manager.may_start()
    volume.free = 50 * MB
    manager.seen = ServiceStatus.HEALTHY
    assert manager.look() is ServiceStatus.HEALTHY
    assert manager.status.reason == health.NEARLY_FULL
    assert manager.may_start()
    volume.free = 500 * MB
    manager.look()
    assert manager.status.reason == ""


# ---- starting it again ------------------------------------------------------------------


class Patient:
    """A manager whose database is up or down, and that starts or does not."""

    def __init__(self) -> None:
        self.is_down = True
        self.allowed = True
        self.starts: list[float] = []
        self.failure: Exception | None = None
        self.hold = threading.Event()
        self.hold.set()

    def look(self) -> ServiceStatus:
        return ServiceStatus.CRASHED if self.is_down else ServiceStatus.HEALTHY

    def may_start(self) -> bool:
        return self.allowed

    def revive(self) -> None:
        self.hold.wait(10)
        self.starts.append(CLOCK.time)
        if self.failure is not None:
            raise self.failure
        self.is_down = False


CLOCK = HandClock()


@pytest.fixture
def engine(tmp_path: pathlib.Path, recorder: Recorder) -> StepEngine:
    return StepEngine(StepStore(tmp_path / "steps"), Outbox(recorder),
                      Sequence(tmp_path / "sequence"), patience=0.05)


@pytest.fixture
def patient() -> Patient:
    CLOCK.time = 1000.0
    return Patient()


@pytest.fixture
def pass_time(patient: Patient, engine: StepEngine) -> Iterator[Callable[[int], None]]:
    reviver = health.Reviver(patient, engine, CLOCK, longest_wait=40)

    def run(seconds: int) -> None:
        for _ in range(seconds):
            CLOCK.time += 1
            reviver.look()
            work = reviver._work
            if work is not None and patient.hold.is_set():
                work.join(5)

    yield run


def test_a_database_that_ended_is_started_at_once_and_only_once(
        patient: Patient, pass_time: Callable[[int], None]) -> None:
    pass_time(100)
    assert patient.starts == [1001]


@pytest.mark.parametrize("failure", [GuestError("no"), OSError("no"), RuntimeError("no")])
def test_a_database_that_does_not_start_is_tried_less_and_less_often(
        patient: Patient, pass_time: Callable[[int], None], failure: Exception) -> None:
    patient.failure = failure
    pass_time(200)
    assert patient.starts == [1001, 1006, 1016, 1036, 1076, 1116, 1156, 1196]


def test_after_a_minute_of_health_the_first_attempt_comes_at_once_again(
        patient: Patient, pass_time: Callable[[int], None]) -> None:
    patient.failure = GuestError("no")
    pass_time(40)
    patient.is_down, patient.failure = False, None
    pass_time(120)
    patient.is_down = True
    pass_time(2)
    assert patient.starts[-1] == 1161


def test_what_keeps_it_from_starting_is_waited_for(
        patient: Patient, pass_time: Callable[[int], None]) -> None:
    patient.failure = GuestError("the disk is full")
    pass_time(40)
    patient.allowed = False
    begun = len(patient.starts)
    pass_time(300)
    assert len(patient.starts) == begun
    patient.allowed, patient.failure = True, None
    pass_time(1)
    assert patient.starts[-1] == 1341


def test_a_step_of_the_control_plane_goes_first(
        patient: Patient, pass_time: Callable[[int], None], engine: StepEngine) -> None:
    with engine.exclusive("stop"):
        pass_time(20)
        assert patient.starts == []
    pass_time(1)
    assert patient.starts == [1021]


def test_looking_goes_on_while_it_starts(
        patient: Patient, pass_time: Callable[[int], None]) -> None:
    patient.hold.clear()
    pass_time(50)
    patient.hold.set()
    eventually(lambda: patient.starts)
    assert len(patient.starts) == 1
