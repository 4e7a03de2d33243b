from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from tests.unit.guestagent.conftest import INSTANCE, ToyManager
from trove_ng.common.clock import SystemClock
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.status import PREPARE_END, PREPARE_START, DatabaseStatus


class Disk:
    """A server whose volume can be mounted and whose root disk can be lost."""

    def __init__(self, tmp_path: pathlib.Path) -> None:
        self.root = tmp_path / "root"
        self.volume = tmp_path / "volume" / ".trove"
        self.mounted = False
        self.seen = ServiceStatus.HEALTHY

    def status(self, instance_id: str = INSTANCE) -> DatabaseStatus:
        status = DatabaseStatus(
            instance_id=instance_id, state_dir=self.root, clock=SystemClock(),
            probe=lambda: Finding(self.seen),
            volume_dir=lambda: self.volume if self.mounted else None)
        status.load()
        return status


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Disk:
    return Disk(tmp_path)


def test_a_fresh_server_is_new_whatever_the_probe_sees(disk: Disk) -> None:
    status = disk.status()
    assert status.update() is ServiceStatus.NEW
    assert not status.prepared


def test_the_status_is_building_until_prepare_ends(disk: Disk) -> None:
    status = disk.status()
    status.begin_install()
    assert status.update() is ServiceStatus.BUILDING
    status.end_install()
    assert status.current is ServiceStatus.HEALTHY
    assert disk.status().current is ServiceStatus.HEALTHY


def test_a_prepare_that_was_cut_off_has_failed(disk: Disk) -> None:
    disk.status().begin_install()
    status = disk.status()
    assert status.current is ServiceStatus.FAILED
    assert status.update() is ServiceStatus.FAILED


def test_a_failed_prepare_stays_failed(disk: Disk) -> None:
    status = disk.status()
    status.begin_install()
    status.end_install(failed=True)
    assert status.current is ServiceStatus.FAILED
    assert disk.status().current is ServiceStatus.FAILED


def test_markers_are_on_the_volume_and_outlast_a_rebuilt_root_disk(
        disk: Disk, tmp_path: pathlib.Path) -> None:
    status = disk.status()
    status.begin_install()
    disk.mounted = True
    status.volume_mounted()
    status.end_install()
    assert (disk.volume / PREPARE_END).is_file()
    disk.root, disk.mounted = tmp_path / "rebuilt", False
    rebuilt = disk.status()
    assert rebuilt.current is ServiceStatus.NEW
    disk.mounted = True
    rebuilt.volume_mounted()
    assert rebuilt.prepared
    assert rebuilt.current is ServiceStatus.HEALTHY


def test_a_copy_of_the_volume_under_another_instance_is_not_prepared(disk: Disk) -> None:
    disk.mounted = True
    status = disk.status()
    status.begin_install()
    status.end_install()
    assert disk.status().prepared
    assert not disk.status("another").prepared


def test_leftover_markers_do_not_end_a_new_prepare(disk: Disk) -> None:
    disk.volume.mkdir(parents=True)
    (disk.volume / PREPARE_END).write_text(json.dumps({"instance_id": INSTANCE}))
    status = disk.status()
    status.begin_install()
    disk.mounted = True
    status.volume_mounted()
    assert not (disk.volume / PREPARE_END).exists()
    assert (disk.volume / PREPARE_START).exists()
    assert status.current is ServiceStatus.BUILDING


@pytest.mark.parametrize(("seen", "expected", "shown"), [
    (ServiceStatus.HEALTHY, True, ServiceStatus.HEALTHY),
    (ServiceStatus.RUNNING, True, ServiceStatus.RUNNING),
    (ServiceStatus.BLOCKED, True, ServiceStatus.BLOCKED),
    (ServiceStatus.SHUTDOWN, True, ServiceStatus.CRASHED),
    (ServiceStatus.SHUTDOWN, False, ServiceStatus.SHUTDOWN),
    (ServiceStatus.HEALTHY, False, ServiceStatus.HEALTHY),
    (ServiceStatus.UNKNOWN, True, ServiceStatus.UNKNOWN),
])
def test_a_database_that_is_gone_crashed_unless_it_was_stopped(
        disk: Disk, seen: ServiceStatus, expected: bool, shown: ServiceStatus) -> None:
    status = disk.status()
    status.begin_install()
    status.end_install()
    status.expect_running(expected)
    disk.seen = seen
    assert status.update() is shown
    assert disk.status().current is shown


def test_restarting_is_shown_while_it_lasts_and_ends_with_the_truth(disk: Disk) -> None:
    status = disk.status()
    status.begin_install()
    status.end_install()
    with pytest.raises(OSError, match="no"):
        with status.restarting():
            disk.seen = ServiceStatus.SHUTDOWN
            assert status.update() is ServiceStatus.RESTARTING
            raise OSError("no")
    assert status.current is ServiceStatus.CRASHED


@pytest.mark.parametrize("expected", [True, False])
def test_what_was_meant_to_run_before_a_fence_is_after_it(disk: Disk, expected: bool) -> None:
    disk.status().begin_install()
    status = disk.status()
    status.end_install()
    status.expect_running(expected)
    for _ in range(2):
        status.fence()
    status = disk.status()
    assert not status.expects_running
    status.unfence()
    status.unfence()
    assert disk.status().expects_running is expected
    # one that was started on purpose is fenced no more
    status.fence()
    with status.restarting():
        assert status.expects_running
    status.expect_running(False)
    status.unfence()
    assert not disk.status().expects_running


def test_listeners_hear_of_changes_only(disk: Disk) -> None:
    status = disk.status()
    heard: list[ServiceStatus] = []
    status.on_change(lambda: heard.append(status.current))
    status.begin_install()
    status.end_install()
    status.update()
    status.update()
    assert heard == [ServiceStatus.BUILDING, ServiceStatus.HEALTHY]


def test_a_restart_that_settings_wait_for_is_remembered(disk: Disk) -> None:
    status = disk.status()
    status.set_restart_required(True)
    assert disk.status().restart_required
    disk.status().set_restart_required(False)
    assert not disk.status().restart_required


def test_memory_that_cannot_be_read_is_dropped(disk: Disk) -> None:
    disk.root.mkdir()
    (disk.root / "status.json").write_text("{")
    (disk.root / PREPARE_END).write_text("{")
    assert disk.status().current is ServiceStatus.NEW


def test_a_probe_may_not_invent_a_status(make_manager: Callable[[], ToyManager]) -> None:
    manager = make_manager()
    manager.status.begin_install()
    manager.seen = ServiceStatus.BUILDING
    with pytest.raises(ValueError, match="a probe does not say"):
        manager.status.end_install()
