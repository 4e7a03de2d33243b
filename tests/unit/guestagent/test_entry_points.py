"""What is installed is found by name, and why it is not is told."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from trove_ng.guestagent import entry_points

SPACE = "trove_ng.test_entry_points"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed, with an entry point whose module is not there."""
    folder = tmp_path / "half-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        f"[{SPACE}]\ngood = collections:OrderedDict\nbroken = no_such_module:Thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_what_an_entry_point_names_is_returned() -> None:
    assert entry_points.find(SPACE, "good") is collections.OrderedDict


def test_one_that_is_not_there_has_no_cause() -> None:
    with pytest.raises(entry_points.NoEntryPoint) as caught:
        entry_points.find(SPACE, "none")
    assert caught.value.__cause__ is None


def test_the_cause_tells_why_one_cannot_be_imported() -> None:
    with pytest.raises(entry_points.NoEntryPoint) as caught:
        entry_points.find(SPACE, "broken")
    assert "no_such_module" in str(caught.value.__cause__)
