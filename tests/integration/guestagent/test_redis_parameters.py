"""What is said of Redis's settings, held against the server itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests import programs

#: whose settings the list has; what 6.2 lacks is from the release notes
SERIES = "7.0."

pytestmark = pytest.mark.integration

TOOL = programs.tool("redis-parameters")


@pytest.fixture(scope="module")
def database() -> Iterator[redis.Redis]:
    with TOOL.running() as server:
        if not str(server.info("server")["redis_version"]).startswith(SERIES):
            pytest.skip(f"the list is that of Redis {SERIES.removesuffix('.')}")
        yield server


def test_the_list_is_that_of_the_server(database: redis.Redis) -> None:
    assert programs.listed("redis") == TOOL.described(database), "run tools/redis-parameters.py"


def test_what_came_with_version_7_is_there(database: redis.Redis) -> None:
    # a wrong name would leave the setting to 6.2, whose server would not start with it
    assert set() == TOOL.SINCE_7 - set(database.config_get())
