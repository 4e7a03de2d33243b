"""An object store, and a directory whose paths are short."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.guestagent.store import serve, short_directory


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    yield from short_directory()


@pytest.fixture
def store(home: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """An object store with a container, reached by signed URLs only."""
    yield from serve(home)
