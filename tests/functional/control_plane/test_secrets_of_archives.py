"""The keys of what is archived of a log are found nowhere else."""

from __future__ import annotations

import pytest

from tests.functional.control_plane.test_log_archives import World
from tests.functional.control_plane.test_log_archives import (  # noqa: PLC0414  fixtures
    postgresql as postgresql,
)
from tests.functional.control_plane.test_log_archives import (
    world as world,  # noqa: PLC0414
)
from tests.functional.control_plane.test_secrets_of_messages import listening


def test_keys_of_what_is_archived_are_found_nowhere_else(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = world.plane
    with listening(plane, monkeypatch) as heard:
        world.ship(0.5)
        backup = world.backup(0.7)
        for minute in (1, 2, 3.5):
            world.ship(minute)
        made = world.restore(backup, "2026-05-01T12:01:30")["instance"]["id"]
        plane.wait(made, "ACTIVE")
        plane.show(world.instance)
        heard.learn()
    assert set(heard.words) >= {"ArchiveRequest.key", "LogReplay.keys"}
    assert heard.found() == {}
