"""Files of binary logs, and how far they are applied, without a server."""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import binlog
from trove_ng.guestagent.datastores.mysql_family.binlog import Extent, History, LogFile
from trove_ng.guestagent.storage.http import DamagedBackup

FORMAT, GTID, ANONYMOUS, MARIADB, QUERY, ENCRYPTED, GTID_LIST = 15, 33, 34, 162, 2, 164, 163
HEADER = 19


def event(kind: int, time: int = 0, body: bytes = b"body", flags: int = 0) -> bytes:
    return struct.pack("<IBIIIH", time, kind, 1, HEADER + len(body), 0, flags) + body


def log(path: pathlib.Path, *events: bytes, open_: bool = False, begun: int = 1) -> pathlib.Path:
    path.write_bytes(b"\xfebin" + event(FORMAT, begun, b"f" * 20, int(open_)) + b"".join(events))
    return path


FIRST = binlog.BEGIN + HEADER + 20
STEP = HEADER + 4


@pytest.mark.parametrize("kind", [GTID, ANONYMOUS, 42, MARIADB])
def test_a_file_is_applied_up_to_the_first_transaction_of_the_time(
        tmp_path: pathlib.Path, kind: int) -> None:
    path = log(tmp_path / "binlog.000001", event(GTID_LIST, 99), *(
        event(one, time) for time in (10, 12, 11, 14, 13) for one in (kind, QUERY)))
    begin = FIRST + STEP

    def extent(until: int | None, start: int = binlog.BEGIN) -> Extent:
        return binlog.extent(path, start, until, 20.0)

    assert extent(None) == Extent(begin + 10 * STEP, 13, False)
    assert extent(15) == Extent(begin + 10 * STEP, 13, False)
    # one of before stands behind it: it was committed later
    assert extent(13) == extent(14) == Extent(begin + 6 * STEP, 11, True)
    assert extent(12) == Extent(begin + 2 * STEP, 10, True)
    assert extent(10) == Extent(begin, None, True)
    # what is before the place is in the backup
    assert extent(12, begin + 4 * STEP) == Extent(begin + 6 * STEP, 11, True)
    assert extent(11, begin + 4 * STEP) == Extent(begin + 4 * STEP, None, True)


def test_a_time_of_after_the_file_is_not_believed(tmp_path: pathlib.Path) -> None:
    path = log(tmp_path / "binlog.000001", event(MARIADB, 99), event(MARIADB, 5),
               event(MARIADB, 98), event(MARIADB, 7))
    assert binlog.extent(path, 4, 7, 8.5) == Extent(FIRST + 3 * STEP, 5, True)
    # there is something to apply, whenever that was
    only = log(tmp_path / "binlog.000002", event(MARIADB, 99))
    assert binlog.extent(only, 4, 7, 8.5) == Extent(FIRST + STEP, 0, False)


@pytest.mark.parametrize("tail", [
    b"\1", event(QUERY)[:-1], event(QUERY)[:HEADER - 1], b"\0" * 40])
def test_what_a_crash_left_is_no_event_and_other_ends_are_damage(
        tmp_path: pathlib.Path, tail: bytes) -> None:
    crashed = log(tmp_path / "binlog.000001", event(MARIADB, 5), tail, open_=True)
    assert binlog.extent(crashed, 4, None, 9) == Extent(FIRST + STEP, 5, False)
    closed = log(tmp_path / "binlog.000002", event(MARIADB, 5), tail)
    with pytest.raises(DamagedBackup, match=r"binlog.000002 ends too early"):
        binlog.extent(closed, 4, None, 9)


def test_names_are_the_servers_numbers() -> None:
    for number in (1, 999999, 1000000):
        assert binlog.number_of(f"/x/{binlog.name_of(number)}") == number
    for name in ("mysql-bin.000001", "binlog.1", "binlog.~rec~", "binlog.000001x"):
        with pytest.raises(GuestError, match="way of its own"):
            binlog.number_of(name)


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Callable[..., list[LogFile]]:
    """Writes files of a log; returns the server's list."""
    def of(numbers: Sequence[int], begun: int = 1, **more: Any) -> list[LogFile]:
        for number in numbers:
            log(tmp_path / binlog.name_of(number), event(GTID_LIST, begun), begun=begun, **more)
        return [LogFile(number, 100) for number in numbers]

    return of


def test_a_log_that_goes_on_has_its_name(tmp_path: pathlib.Path,
                                         write: Callable[..., list[LogFile]]) -> None:
    history = History(tmp_path)
    name = history.name(write([1, 2], open_=True))
    # the server closed the file, and began others; another agent looks
    assert History(tmp_path).name(write([1, 2, 3])) == name
    history.keep(3)
    history.keep(2)
    assert history.name(write([3, 4])) == name
    # the one that it is known by has gone
    other = history.name(write([4, 5]))
    assert other != name
    assert history.name(write([4, 5])) == other


def test_a_log_that_began_anew_has_another_name(tmp_path: pathlib.Path,
                                                write: Callable[..., list[LogFile]]) -> None:
    history = History(tmp_path)
    name = history.name(write([1]))
    assert history.name(write([1, 2], begun=2)) != name
    name = history.name(write([1, 2], begun=2))
    history.forget()
    assert history.name(write([1, 2], begun=2)) != name
    (tmp_path / "trove-history").write_text("{")
    assert history.name(write([1]))


def test_a_log_that_the_server_encrypts_is_not_archived(tmp_path: pathlib.Path) -> None:
    for content in (b"\xfd" + b"bin" * 30,
                    b"\xfebin" + event(FORMAT) + event(ENCRYPTED) + b"\1" * 50):
        (tmp_path / "binlog.000001").write_bytes(content)
        with pytest.raises(GuestError, match="is encrypted by the server"):
            History(tmp_path).name([LogFile(1, 100)])
