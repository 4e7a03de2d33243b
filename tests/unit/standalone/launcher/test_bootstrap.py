"""When the all-in-one's store is filled."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from trove_ng.standalone.launcher import bootstrap
from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import Layout

PASSWORD = "not-in-any-file"
#: calls that fill a store
ALL = 4 * len(bootstrap.DATASTORES)
FIRST = f"mysql+pymysql://u:{PASSWORD}@one.example/trove"
SECOND = "sqlite:////two.sqlite"


@pytest.fixture
def one(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "one")
    made.make()
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(bootstrap, "_manage", lambda _layout, *words: found.append(words))
    return found


def test_a_store_is_filled_once(one: Layout, calls: list[tuple[str, ...]]) -> None:
    bootstrap.load_datastores(one, FIRST)
    first = len(calls)
    bootstrap.load_datastores(one, FIRST)
    assert first == len(calls) == ALL


def test_another_store_is_filled_as_well(one: Layout, calls: list[tuple[str, ...]]) -> None:
    bootstrap.load_datastores(one, FIRST)
    bootstrap.load_datastores(one, SECOND)
    assert calls[:ALL] == calls[ALL:]
    bootstrap.load_datastores(one, FIRST)
    assert len(calls) == 2 * ALL


def test_the_stores_password_is_not_left_behind(
        one: Layout, calls: list[tuple[str, ...]]) -> None:
    bootstrap.load_datastores(one, FIRST)
    marker = one.etc / "datastores.loaded"
    assert calls
    assert PASSWORD not in marker.read_text()
    assert stat.S_IMODE(marker.stat().st_mode) == 0o600


def test_a_store_that_could_not_be_filled_is_tried_again(
        one: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(_layout: Layout, *words: str) -> None:
        calls.append(words)
        raise LauncherError("no")

    monkeypatch.setattr(bootstrap, "_manage", fail)
    for count in (1, 2):
        with pytest.raises(LauncherError):
            bootstrap.load_datastores(one, FIRST)
        assert len(calls) == count
