"""Holding the data for a snapshot ends in every case."""

from __future__ import annotations

import threading
from typing import Any

import pymysql
import pytest

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.mysql_family.hold import DataHold

DIALECT = MariaDbDialect()


class Connection:
    """A connection that remembers its statements, and may refuse some."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.said: list[str] = []
        self.closed = threading.Event()

    def cursor(self) -> Connection:
        return self

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_args: object) -> None:
        pass

    def execute(self, statement: str, _values: Any = None) -> None:
        if self.closed.is_set() or statement in self._server.refuses:
            raise pymysql.err.OperationalError(2013, "Lost connection: s3cret")
        self.said.append(statement)

    def fetchall(self) -> list[tuple[str]]:
        return [("10.11.6-MariaDB",)]

    def close(self) -> None:
        self.closed.set()


class Server:
    """Gives connections."""

    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.refuses: set[str] = set()

    def connect(self, **_options: Any) -> Connection:
        if "connect" in self.refuses:
            raise pymysql.err.OperationalError(2002, "no")
        self.made.append(Connection(self))
        return self.made[-1]


@pytest.fixture
def server() -> Server:
    return Server()


def hold_of(server: Server, synced: list[str] | None = None) -> DataHold:
    def sync() -> None:
        if synced is not None:
            synced.extend(server.made[-1].said)

    return DataHold(server, sync, DIALECT)  # type: ignore[arg-type]


def test_the_disk_is_written_while_nobody_writes(server: Server) -> None:
    synced: list[str] = []
    hold = hold_of(server, synced)
    assert hold.take("one", 30) == "10.11.6-MariaDB"
    assert synced[1:1 + len(DIALECT.hold)] == list(DIALECT.hold)
    assert not server.made[0].closed.is_set()
    assert hold.release("one")
    assert server.made[0].said[-1] == DIALECT.release
    assert server.made[0].closed.is_set()
    assert not hold.release("one")


def test_it_ends_when_nobody_ends_it(server: Server) -> None:
    hold = hold_of(server)
    hold.take("one", 0.05)
    assert server.made[0].closed.wait(10)
    assert not hold.release("one")
    # and a timer of before does not end the next one
    hold.take("two", 30)
    hold._expire("one")
    assert hold.release("two")


def test_another_one_takes_its_place(server: Server) -> None:
    """A taskmanager that died asks for nothing any more; the next one begins anew."""
    hold = hold_of(server)
    hold.take("one", 30)
    hold.take("two", 30)
    assert server.made[0].closed.is_set()
    assert not hold.release("one")
    assert not server.made[1].closed.is_set()
    assert hold.release("two")


def test_a_server_that_ended_the_connection_did_not_hold(server: Server) -> None:
    hold = hold_of(server)
    hold.take("one", 30)
    server.made[0].closed.set()
    assert not hold.release("one")
    assert hold.take("two", 30)
    assert hold.release("two")


@pytest.mark.parametrize("refused", [*DIALECT.hold, "SELECT VERSION()", "connect"])
def test_what_cannot_be_held_is_let_go(server: Server, refused: str) -> None:
    server.refuses = {refused}
    hold = hold_of(server)
    with pytest.raises(GuestError, match="cannot be held") as caught:
        hold.take("one", 30)
    assert "s3cret" not in caught.value.message
    assert all(one.closed.is_set() for one in server.made)
    assert not hold.release("one")


def test_a_disk_that_does_not_take_it_lets_go(server: Server) -> None:
    def sync() -> None:
        raise GuestError("no")

    hold = DataHold(server, sync, DIALECT)  # type: ignore[arg-type]
    with pytest.raises(GuestError):
        hold.take("one", 30)
    assert server.made[0].closed.is_set()
