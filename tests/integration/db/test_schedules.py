"""Schedules on servers of the supported kinds: locks, savepoints and sums."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from oslo_config import cfg

from tests import stores
from tests.functional.api.conftest import api_conf, app  # noqa: F401 - fixtures
from tests.functional.api.test_schedules import (  # noqa: F401 - they run here too
    test_a_busy_instance_is_backed_up_as_soon_as_it_can_be,
    test_a_full_quota_is_an_error_and_leaves_nothing,
    test_every_so_many_backups_one_is_full,
    test_many_taskmanagers_make_one_backup_of_a_tick,
    test_of_missed_ticks_the_last_is_made_good,
    test_old_backups_of_a_schedule_are_deleted,
    test_waiting_ends_with_patience_and_with_the_next_tick,
    works,
)
from tests.functional.conftest import store_conf  # noqa: F401 - a fixture
from trove_ng.db.session import Database


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest,
             store_conf: cfg.ConfigOpts) -> Iterator[Database]:  # noqa: F811 - the fixture
    """An empty store of each kind."""
    store_conf.set_override("connection", request.getfixturevalue(f"{request.param}_url"),
                            group="database")
    with stores.emptied(store_conf) as made:
        yield made
