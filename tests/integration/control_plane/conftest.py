"""The control plane of the functional tests, on the stores that are servers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.functional.conftest import stores  # noqa: F401
from tests.functional.control_plane.conftest import worlds  # noqa: F401
from tests.functional.control_plane.test_cloud_faults import wire  # noqa: F401
from tests.functional.control_plane.world import World, Worlds
from tests.stores import SERVERS


@pytest.fixture(params=SERVERS)
def world(request: pytest.FixtureRequest, worlds: Worlds) -> Iterator[World]:  # noqa: F811
    """A control plane that earlier cases used, on each kind of server."""
    if os.geteuid() != 0:
        pytest.skip("the server runs as its own user, which only root can do")
    yield from worlds.case(request.param)
