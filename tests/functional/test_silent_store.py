"""A server that takes connections and says nothing, as one that is frozen does."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from oslo_config import cfg
from sqlalchemy import text

from trove_ng.conf import database as database_conf
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield int(listening.getsockname()[1])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg2"])
def test_it_is_given_up(silent: int, scheme: str) -> None:
    conf = cfg.ConfigOpts()
    database_conf.register(conf)
    conf([], project="trove")
    conf.set_override("connection", f"{scheme}://trove:pw@127.0.0.1:{silent}/trove",
                      group="database")
    for name in ("connect_timeout", "answer_timeout"):
        conf.set_override(name, 1, group="store")
    database = Database(conf)
    for _ in range(3):
        with pytest.raises(StoreAway), database.reader() as session:
            session.execute(text("SELECT 1"))
        with pytest.raises(StoreAway), database.connection() as connection:
            connection.execute(text("SELECT 1"))
