from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.unit.guestagent.conftest import ToyManager, prepare_request
from trove_ng.common.errors import Conflict, GuestError, NotSupported
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent import causes
from trove_ng.guestagent.logs import LogFile
from trove_ng.guestagent.manager import BaseManager
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.http import DamagedBackup
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m


class Quiet(Progress):
    def __init__(self) -> None:
        import threading
        super().__init__(lambda _percent: None, threading.Event())


def step(name: str = "s") -> m.StepRequest:
    return m.StepRequest(operation_id="op", step=name)


def test_prepare_creates_databases_and_users_before_the_instance_is_usable(
        manager: ToyManager) -> None:
    manager.prepare(prepare_request(
        databases=[m.DatabaseSpec(name="a")], users=[m.UserSpec(name="u")]), Quiet())
    assert manager.calls == ["do_prepare", "start_db", "create_databases", "create_users",
                             "post_prepare"]
    assert manager.statuses == [ServiceStatus.BUILDING, ServiceStatus.HEALTHY]


def test_a_prepare_that_fails_makes_the_instance_failed(manager: ToyManager) -> None:
    manager.failure = GuestError("No.")
    with pytest.raises(GuestError):
        manager.prepare(prepare_request(), Quiet())
    assert manager.status.current is ServiceStatus.FAILED
    assert "post_prepare" not in manager.calls


def test_a_database_that_cannot_be_created_makes_the_instance_failed(
        manager: ToyManager) -> None:
    with pytest.raises(GuestError):
        manager.prepare(prepare_request(databases=[m.DatabaseSpec(name="bad")]), Quiet())
    assert manager.status.current is ServiceStatus.FAILED
    assert not manager.status.prepared


def test_a_failure_after_prepare_leaves_the_instance_usable(
        manager: ToyManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_request: m.PrepareRequest) -> None:
        raise RuntimeError

    monkeypatch.setattr(manager, "post_prepare", fail)
    manager.prepare(prepare_request(), Quiet())
    assert manager.status.current is ServiceStatus.HEALTHY


def test_an_instance_with_data_is_not_prepared_again(manager: ToyManager) -> None:
    manager.prepare(prepare_request(), Quiet())
    with pytest.raises(Conflict):
        manager.prepare(prepare_request(operation_id="op-2"), Quiet())
    assert manager.calls.count("do_prepare") == 1
    assert manager.status.current is ServiceStatus.HEALTHY


def test_restart_is_shown_and_clears_what_waited_for_it(manager: ToyManager) -> None:
    manager.prepare(prepare_request(), Quiet())
    manager.status.set_restart_required(True)
    manager.statuses.clear()
    manager.restart(step())
    assert manager.statuses[0] is ServiceStatus.RESTARTING
    assert manager.statuses[-1] is ServiceStatus.HEALTHY
    assert not manager.status.restart_required
    assert manager.calls[-2:] == ["stop_db", "start_db"]


def test_a_stopped_database_is_shut_down_and_not_crashed(
        manager: ToyManager, make_manager: Callable[[], ToyManager]) -> None:
    manager.prepare(prepare_request(), Quiet())
    manager.stop_database(step())
    assert manager.status.current is ServiceStatus.SHUTDOWN
    again = make_manager()
    again.resume()
    assert again.calls == []
    assert again.status.current is ServiceStatus.SHUTDOWN


def test_a_resized_database_starts_with_its_new_settings(manager: ToyManager) -> None:
    manager.prepare(prepare_request(), Quiet())
    resize = m.ResizeRequest(operation_id="op", step="s", memory_mb=2048)
    with pytest.raises(GuestError, match="stopped first"):
        manager.start_db_with_conf_changes(resize)
    manager.stop_database(step())
    manager.start_db_with_conf_changes(resize)
    assert manager.calls[-2:] == ["apply_config 2048", "start_db"]
    assert manager.status.current is ServiceStatus.HEALTHY


def test_a_database_that_ran_is_started_after_a_boot(
        manager: ToyManager, make_manager: Callable[[], ToyManager]) -> None:
    manager.prepare(prepare_request(), Quiet())
    manager.ctx.services.stop(["toy"])
    booted = make_manager()
    assert booted.status.current is ServiceStatus.CRASHED
    booted.resume()
    assert booted.calls == ["start_db"]
    assert booted.status.current is ServiceStatus.HEALTHY


def test_a_fresh_instance_is_not_started(manager: ToyManager) -> None:
    manager.resume()
    assert manager.calls == []


def test_a_volume_that_cannot_be_mounted_does_not_keep_the_agent_down(
        manager: ToyManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise GuestError("The device /dev/vdz did not appear.")

    monkeypatch.setattr(manager.ctx.volumes, "remount", fail)
    manager.reload()
    assert manager.status.current is ServiceStatus.NEW


def test_what_a_datastore_leaves_out_is_refused_with_a_reason(manager: ToyManager) -> None:
    with pytest.raises(NotSupported, match="toy does not support a root user"):
        manager.enable_root(m.RootRequest())
    with pytest.raises(NotSupported):
        manager.list_users(m.PageRequest())


def test_capabilities_are_the_optional_calls_that_are_offered(manager: ToyManager) -> None:
    assert manager.capabilities() == [
        "apply_config", "create_backup", "create_databases", "create_users"]


def test_a_manager_must_say_how_to_run_its_database() -> None:
    assert BaseManager.__abstractmethods__ == {
        "volume_mount_point", "do_prepare", "probe", "start_db", "stop_db"}


def test_a_look_keeps_the_logs_small_and_tells_the_database(
        manager: ToyManager, tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    log, opened = tmp_path / "general.log", []
    monkeypatch.setattr(manager, "log_files", lambda: {"general": LogFile(log)})
    monkeypatch.setattr(manager, "reopen_logs", lambda: opened.append(log.exists()))
    manager.ctx.conf.set_override("log_max_size", 1024 ** 2, group="guest_agent")
    log.write_bytes(b"x" * (1024 ** 2 + 1))
    manager.look()
    assert log.exists(), "an instance that is not prepared is left alone"
    manager.prepare(prepare_request(), Quiet())
    manager.look()
    assert opened == [False]
    assert (tmp_path / "general.log.1").stat().st_size == 1024 ** 2 + 1
    assert manager.look() is ServiceStatus.HEALTHY


def test_a_log_that_cannot_be_put_aside_does_not_hide_the_status(
        manager: ToyManager, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise GuestError("it hangs")

    log = tmp_path / "general.log"
    monkeypatch.setattr(manager, "log_files", lambda: {"general": LogFile(log)})
    monkeypatch.setattr(manager, "reopen_logs", fail)
    manager.prepare(prepare_request(), Quiet())
    with log.open("wb") as file:
        file.truncate(101 * 1024 ** 2)
    assert manager.look() is ServiceStatus.HEALTHY
    assert log.exists()
    assert "it hangs" in caplog.text


def test_every_server_has_the_log_of_its_agent(manager: ToyManager,
                                               tmp_path: pathlib.Path) -> None:
    manager.ctx.conf.set_override("log_path", str(tmp_path / "a.log"), group="guest_agent")
    (tmp_path / "a.log").write_text("one\n")
    assert manager.list_logs(lm.LogsRequest()).logs == [
        lm.LogState(name="guest", enabled=True, size=4)]
    with pytest.raises(NotSupported):
        manager.switch_log(lm.LogSwitch(name="guest", enabled=False))


@pytest.mark.parametrize(("restores", "why", "damaged"), [
    (True, f"The database server does not start: {causes.DAMAGED}", True),
    (True, "The database server does not start: the disk is full.", False),
    (False, f"The database server does not start: {causes.DAMAGED}", False)])
def test_a_backup_is_to_blame_for_what_it_holds(manager: ToyManager, restores: bool, why: str,
                                                damaged: bool) -> None:
    manager.failure = GuestError(why)
    restore = m.RestoreSpec(backup_id="b", chain=[], grants=[]) if restores else None
    with pytest.raises(GuestError) as caught:
        manager.prepare(prepare_request(restore=restore), Quiet())
    assert isinstance(caught.value, DamagedBackup) is damaged
    assert caught.value.message == why


def test_data_are_looked_through_while_the_database_answers(manager: ToyManager) -> None:
    manager.prepare(prepare_request(), Quiet())
    pathlib.Path(manager.volume_mount_point).mkdir(parents=True, exist_ok=True)
    request = m.CheckRequest(operation_id="op", step="check_data", seconds=5)
    report = manager.check_data(request, Quiet())
    assert (report.problems, report.size > 0) == ([], True)
    manager.seen = ServiceStatus.BLOCKED
    with pytest.raises(GuestError, match="does not answer"):
        manager.check_data(request, Quiet())
