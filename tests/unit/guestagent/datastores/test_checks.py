"""Looking through all tables tells damage from trouble."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from trove_ng.common.errors import GuestError
from trove_ng.guestagent import causes
from trove_ng.guestagent.datastores.mysql_family.checks import check_tables
from trove_ng.guestagent.steps import Progress

OK = [("t", "check", "status", "OK")]


class Server:
    """A server with tables, each with what CHECK TABLE says of it; None: it says nothing."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.said: list[str] = []
        self.now = 0.0
        #: why it has ended, nothing while it is there
        self.cause = ""

    @contextlib.contextmanager
    def session(self) -> Iterator[Server]:
        yield self

    def run(self, _statement: str) -> list[tuple[str, str]]:
        return [("shop", name) for name in self.answers]

    def connect(self, _timeout: int, _answer: int) -> Server:
        return self

    def cursor(self) -> Server:
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_args: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        self.said.append(statement)
        self.now += 10
        if self._answer() is None:
            raise pymysql.err.OperationalError(2013, "Lost connection")

    def _answer(self) -> Any:
        return self.answers[self.said[-1].split("`")[3]]

    def fetchall(self) -> Any:
        return self._answer()

    def close(self) -> None:
        pass

    def check(self, seconds: float = 100) -> Any:
        server: Any = self
        return check_tables(server, lambda: self.now, seconds,
                            Progress(lambda _percent: None, threading.Event()),
                            lambda: self.cause)


def test_every_table_is_checked() -> None:
    server = Server(a=OK, b=[("t", "check", "note", "The storage engine does not support check")],
                    c=[("t", "check", "warning", "1 client is using it"), *OK],
                    d=[("t", "check", "error", "Table rebuild required. Please do ...")])
    report = server.check()
    assert (report.problems, report.counts) == ([], {"databases": 1, "tables": 4})
    assert server.said[0] == "CHECK TABLE `shop`.`a` EXTENDED"


@pytest.mark.parametrize("answer", [
    [("t", "check", "error", "Corrupt")],
    [("t", "check", "Error", "Table 't' is marked as crashed and should be repaired")],
    [("t", "check", "Error", "Index for table 't' is corrupt; try to repair it"),
     ("t", "check", "status", "Operation failed")],
    [("t", "check", "warning", "x"), ("t", "check", "error", "Index for table is corrupted")]])
def test_damaged_tables_are_told_by_name(answer: Any) -> None:
    assert Server(a=OK, b=answer, c=OK).check().problems == ["Table shop.b is damaged."]


@pytest.mark.parametrize("answer", [
    [("t", "check", "status", "Operation failed")],
    [("t", "check", "Error", "Tablespace has been discarded for table `b`"),
     ("t", "check", "error", "Corrupt")],
    [("t", "check", "Error", "Unable to connect to foreign data source: gone"),
     ("t", "check", "status", "Operation failed")]])
def test_a_table_that_cannot_be_checked_is_not_damaged(answer: Any) -> None:
    with pytest.raises(GuestError, match=r"Table shop\.b is not in a state to be checked"):
        Server(a=OK, b=answer, c=OK).check()
    # what is damaged is told all the same
    assert Server(a=[("t", "check", "error", "Corrupt")], b=answer).check().problems == [
        "Table shop.a is damaged."]


def test_of_many_damaged_tables_some_are_told() -> None:
    bad = [("t", "check", "error", "Corrupt")]
    problems = Server(**dict.fromkeys("abcdefgh", bad)).check().problems
    assert problems[-1] == "3 more tables are damaged."
    assert len(problems) == 6


def test_a_table_that_ends_the_server_is_damaged() -> None:
    server = Server(a=OK, b=None, c=OK)
    server.cause = causes.DAMAGED
    assert server.check().problems == ["Table shop.b is damaged."]
    assert len(server.said) == 2


@pytest.mark.parametrize("cause", ["", "there is not enough memory.", "it crashed."])
def test_a_server_that_ends_for_another_reason_is_no_damage(cause: str) -> None:
    server = Server(a=OK, b=None, c=OK)
    server.cause = cause
    with pytest.raises(GuestError, match=r"did not answer while it checked shop\.b"):
        server.check()


@pytest.mark.parametrize("server", [Server(a=OK, b=OK, c=OK), Server(a=OK, b=None)])
def test_what_takes_too_long_is_no_damage(server: Server) -> None:
    with pytest.raises(GuestError, match="not checked within 15 seconds"):
        server.check(15)
