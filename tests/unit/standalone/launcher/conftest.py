"""Short paths: state directories hold sockets, whose paths are bounded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory whose path is short, however often tests ran on the machine."""
    with tempfile.TemporaryDirectory(prefix="trove-") as found:
        yield Path(found)
