from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from trove_ng.common.errors import BadRequest, Conflict
from trove_ng.guestagent.os import codecs, configuration, files

BASE = "[mysqld]\nport = 3306\nmax_connections = 100\n# kept by hand\n"

Make = Callable[..., configuration.ConfigurationManager]


@pytest.fixture(params=["import", "rolling"])
def make(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Make:
    path = tmp_path / "my.cnf"

    def _make(**options: Any) -> configuration.ConfigurationManager:
        strategy: configuration.OverrideStrategy
        if request.param == "import":
            strategy = configuration.ImportOverrideStrategy(tmp_path / "conf.d")
        else:
            strategy = configuration.RollingOverrideStrategy(tmp_path / "revisions")
        return configuration.ConfigurationManager(
            path, codecs.IniCodec(), strategy, **options)

    _make().save_text(BASE)
    return _make


def _connections(manager: configuration.ConfigurationManager) -> Any:
    return manager.get_value("max_connections", "mysqld")


def _limit(value: str) -> dict[str, dict[str, str]]:
    return {"mysqld": {"max_connections": value}}


def test_the_users_settings_win_over_the_agents_except_over_the_final_ones(
        make: Make) -> None:
    manager = make()
    assert _connections(manager) == "100"
    manager.apply_user(_limit("300"))
    manager.apply_system(_limit("200"))
    assert _connections(manager) == "300"
    manager.apply_system(_limit("400"), final=True)
    assert _connections(make()) == "400"
    assert manager.get_value("port", "mysqld") == "3306"
    assert manager.get_value("none", "mysqld", default="d") == "d"


def test_changes_may_be_taken_away_in_any_order(make: Make) -> None:
    manager = make()
    manager.apply_system(_limit("200"), "cluster")
    manager.apply_user(_limit("300"))
    assert manager.has_system("cluster")
    assert manager.remove_system("cluster")
    assert not manager.remove_system("cluster")
    assert _connections(manager) == "300"
    assert manager.remove_user()
    assert not manager.has_user()
    assert _connections(manager) == "100"
    assert manager.path.read_text() == BASE


def test_a_change_of_the_same_id_replaces_and_keeps_its_place(make: Make) -> None:
    manager = make()
    manager.apply_system(_limit("1"), "a")
    manager.apply_system(_limit("2"), "b")
    manager.apply_system(_limit("3"), "a")
    assert _connections(manager) == "2"
    manager.remove_system("b")
    assert _connections(manager) == "3"


def test_one_set_of_user_settings_at_a_time(make: Make) -> None:
    manager = make()
    manager.apply_user(_limit("1"), "one")
    with pytest.raises(Conflict):
        manager.apply_user(_limit("2"), "two")
    manager.update_user({"mysqld": {"wait_timeout": "5"}}, "one")
    assert manager.user_override("one") == {
        "mysqld": {"max_connections": "1", "wait_timeout": "5"}}
    assert manager.remove_user("one")


def test_settings_that_the_datastore_refuses_are_not_written(make: Make) -> None:
    def refuse(options: Mapping[str, Any]) -> None:
        raise BadRequest("The setting port cannot be changed.")

    manager = make(validate=refuse)
    with pytest.raises(BadRequest):
        manager.apply_user({"mysqld": {"port": "1"}})
    assert not manager.has_user()
    assert manager.get_value("port", "mysqld") == "3306"


@pytest.mark.parametrize("bad", ["../x", "a/b", "", "a-b", ".x"])
def test_an_id_that_is_no_file_name_is_refused(make: Make, bad: str) -> None:
    with pytest.raises(BadRequest):
        make().apply_system({}, bad)


def test_a_new_base_keeps_the_changes_over_it(make: Make) -> None:
    manager = make()
    manager.apply_user(_limit("300"))
    manager.save({"mysqld": {"port": "3307", "max_connections": "50"}})
    assert _connections(manager) == "300"
    assert manager.get_value("port", "mysqld") == "3307"
    manager.remove_user()
    assert _connections(manager) == "50"


def test_files_get_the_mode_and_owner_asked_for(make: Make, tmp_path: pathlib.Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    manager = make(owner="nobody", mode=0o600)
    manager.save(_limit("1"))
    manager.apply_user(_limit("2"))
    assert manager.path.stat().st_uid == 65534
    assert manager.path.stat().st_mode & 0o777 == 0o600
    for path in (tmp_path / "conf.d").glob("*.cnf"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (65534, 0o600)


def test_included_files_sort_in_the_order_of_precedence(tmp_path: pathlib.Path) -> None:
    manager = configuration.ConfigurationManager(
        tmp_path / "my.cnf", codecs.IniCodec(),
        configuration.ImportOverrideStrategy(tmp_path / "conf.d"))
    manager.apply_system({}, final=True)
    manager.apply_user({})
    manager.apply_system({})
    assert sorted(os.listdir(tmp_path / "conf.d")) == [
        "20-system-001-common.cnf", "50-user-001-common.cnf", "80-system-001-common.cnf"]


def test_a_crash_between_change_and_file_is_mended(
        tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.conf"
    path.write_text("port=1\n")
    strategy = configuration.RollingOverrideStrategy(tmp_path / "revisions")
    manager = configuration.ConfigurationManager(path, codecs.KeyValueCodec(), strategy)
    written = files.write

    def crash(target: Any, *arguments: Any, **options: Any) -> None:
        if target == path:
            raise KeyboardInterrupt
        written(target, *arguments, **options)

    monkeypatch.setattr(files, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        manager.apply_user({"port": 2})
    assert path.read_text() == "port=1\n"
    monkeypatch.undo()
    strategy.mend()
    assert path.read_text() == "port=2\n"
    manager.remove_user()
    assert path.read_text() == "port=1\n"
    assert os.listdir(tmp_path / "revisions") == []
