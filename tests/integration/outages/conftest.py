"""A broker and stores of the tests' own, and the services on them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers import mariadb, postgresql, rabbitmq_node

from .stage import Stage, running


@pytest.fixture(scope="session")
def broker() -> Iterator[rabbitmq_node.Node]:
    """A RabbitMQ node."""
    if os.geteuid() != 0:
        pytest.skip("the servers run as their own users, which only root can do")
    with rabbitmq_node.node() as made:
        yield made


@pytest.fixture(scope="session")
def maria(broker: rabbitmq_node.Node) -> Iterator[mariadb.Server]:
    """A MariaDB server."""
    with mariadb.server() as made:
        yield made


@pytest.fixture(scope="session")
def postgres(broker: rabbitmq_node.Node) -> Iterator[postgresql.Server]:
    """A PostgreSQL server; the services are a user with fewer rights."""
    with postgresql.running() as made:
        made.execute("CREATE ROLE service LOGIN")
        made.execute("CREATE DATABASE trove OWNER service")
        made.url = made.url.replace("trove@", "service@").replace("/postgres", "/trove")
        yield made


@pytest.fixture(scope="module")
def stage(broker: rabbitmq_node.Node, maria: mariadb.Server,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The services on MariaDB."""
    maria.execute("DROP DATABASE trove")
    maria.execute("CREATE DATABASE trove CHARACTER SET utf8mb4")
    with running(tmp_path_factory.mktemp("stage"), maria.url, broker.url()) as made:
        yield made
