"""Throw-away database servers for the tests of the store."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers import mariadb, postgresql


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """The URL of an empty database on a MariaDB server of the tests' own."""
    if os.geteuid() != 0:
        pytest.skip("the server runs as its own user, which only root can do")
    with mariadb.server() as made:
        yield made.url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server of the tests' own."""
    if os.geteuid() != 0:
        pytest.skip("the server runs as its own user, which only root can do")
    with postgresql.server() as url:
        yield url
