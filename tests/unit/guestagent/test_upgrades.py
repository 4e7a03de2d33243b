"""Another root disk below the same data volume."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.unit.guestagent.conftest import ToyManager, prepare_request
from tests.unit.guestagent.test_manager import Quiet
from trove_ng.common.errors import GuestError, NotSupported, UnprocessableEntity
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.os import files
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm

BEFORE = sm.PreUpgrade(operation_id="op", step="pre_upgrade", datastore_version="2.0")
AFTER = sm.PostUpgrade(
    operation_id="op", step="post_upgrade", memory_mb=512,
    volume=m.VolumeSpec(device="/dev/vdb", mount_point="/data"))


class Settings:
    """What a toy keeps of its settings: the text of one file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> None:
        self._patch = monkeypatch
        self.folder: pathlib.Path | None = folder
        self.text = "old"
        self.upgraded = 0

    def of(self, manager: ToyManager) -> ToyManager:
        """Return the manager, with these settings and a volume."""
        for name, value in (
                ("agent_volume_dir", lambda: self.folder),
                ("check_upgrade", self._check), ("save_settings", self._save),
                ("restore_settings", self._restore), ("upgrade_data", self._upgrade)):
            self._patch.setattr(manager, name, value)
        self._patch.setattr(manager.status, "_volume_dir", lambda: self.folder)
        self._patch.setattr(manager.ctx.volumes, "mount", lambda _spec: None)
        return manager

    def _check(self, version: str) -> None:
        if version == "0.9":
            raise UnprocessableEntity("It cannot go back.")

    def _save(self, folder: pathlib.Path) -> None:
        (folder / "settings").write_text(self.text)

    def _restore(self, folder: pathlib.Path | None, _request: sm.PostUpgrade) -> None:
        self.text = "none" if folder is None else (folder / "settings").read_text()

    def _upgrade(self) -> None:
        self.upgraded += 1


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Settings:
    volume = tmp_path / "volume"
    volume.mkdir()
    return Settings(monkeypatch, volume)


def lose_disk(manager: ToyManager) -> None:
    """Leave of the agent's files what is on the volume."""
    files.clear_directory(manager.ctx.state_dir)
    manager.ctx.services.stop(["toy"])


def test_an_instance_works_on_a_new_disk_as_before(
        manager: ToyManager, make_manager: Callable[[], ToyManager], settings: Settings,
        ) -> None:
    old = settings.of(manager)
    old.prepare(prepare_request(), Quiet())
    old.upgrades.before(BEFORE)
    old.upgrades.before(BEFORE)
    assert old.status.current is ServiceStatus.HEALTHY, "the database goes on"
    lose_disk(old)
    settings.text = ""
    folder, settings.folder = settings.folder, None  # not mounted yet
    new = settings.of(make_manager())
    assert new.status.current is ServiceStatus.NEW
    settings.folder = folder
    new.upgrades.after(AFTER)
    assert settings.text == "old"
    assert settings.upgraded == 1
    assert new.status.prepared
    assert new.status.current is ServiceStatus.HEALTHY
    assert new.statuses[0] is ServiceStatus.RESTARTING
    # an answer that was lost: it is asked for again
    new.upgrades.after(AFTER)
    assert new.status.current is ServiceStatus.HEALTHY


def test_a_disk_that_was_lost_before_is_replaced_all_the_same(
        manager: ToyManager, make_manager: Callable[[], ToyManager], settings: Settings,
        ) -> None:
    settings.of(manager).prepare(prepare_request(), Quiet())
    lose_disk(manager)
    new = settings.of(make_manager())
    new.upgrades.after(AFTER)
    assert settings.text == "none"
    assert new.status.current is ServiceStatus.HEALTHY


def test_a_version_that_is_refused_changes_nothing(manager: ToyManager, settings: Settings,
                                                   ) -> None:
    old = settings.of(manager)
    old.prepare(prepare_request(), Quiet())
    calls = list(old.calls)
    with pytest.raises(UnprocessableEntity):
        old.upgrades.before(sm.PreUpgrade(
            operation_id="op", step="s", datastore_version="0.9"))
    assert old.calls == calls
    assert settings.folder is not None
    assert not (settings.folder / "upgrade").exists()


def test_an_instance_without_its_volume_is_not_upgraded(manager: ToyManager,
                                                        settings: Settings) -> None:
    old = settings.of(manager)
    settings.folder = None
    with pytest.raises(UnprocessableEntity, match="would be lost"):
        old.upgrades.before(BEFORE)


def test_a_volume_of_another_instance_is_left_alone(
        manager: ToyManager, settings: Settings) -> None:
    new = settings.of(manager)
    with pytest.raises(UnprocessableEntity, match="of this instance"):
        new.upgrades.after(AFTER)
    assert settings.text == "old"
    assert new.status.current is ServiceStatus.NEW


def test_a_database_that_does_not_start_is_told(
        manager: ToyManager, make_manager: Callable[[], ToyManager], settings: Settings,
        ) -> None:
    settings.of(manager).prepare(prepare_request(), Quiet())
    lose_disk(manager)
    new = settings.of(make_manager())
    new.failure = GuestError("It does not start.")
    with pytest.raises(GuestError):
        new.upgrades.after(AFTER)
    assert new.status.current is ServiceStatus.CRASHED
    assert settings.upgraded == 0


def test_a_datastore_may_leave_upgrades_out(
        manager: ToyManager, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(manager, "agent_volume_dir", lambda: tmp_path)
    with pytest.raises(NotSupported):
        manager.upgrades.before(BEFORE)
