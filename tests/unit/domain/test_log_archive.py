"""To which times backups can be brought with archived log, and which parts of it are needed."""

from __future__ import annotations

import datetime

import pytest

from trove_ng.domain.log_archive import (
    Base,
    Part,
    Range,
    continues,
    expendable,
    gap,
    latest,
    needed,
    refuse,
    run,
    whole_range,
)


def at(minute: float) -> datetime.datetime:
    return datetime.datetime(2026, 5, 1, 12) + datetime.timedelta(minutes=minute)


def part(number: int, following: int, until: float | None, stream: str = "s") -> Part:
    return Part(f"{stream}{number}-{following}", stream, number, following,
                None if until is None else at(until))


PARTS = [part(1, 3, 1), part(3, 6, 2), part(6, 7, None), part(7, 9, 4), part(11, 12, 8),
         part(12, 15, 9), part(1, 20, 20, "other")]
BASE = Base("s", 4, at(1.5))


@pytest.mark.parametrize(("base", "ids"), [
    (BASE, ["s3-6", "s6-7", "s7-9"]), (Base("s", 3, at(1)), ["s3-6", "s6-7", "s7-9"]),
    (Base("s", 6, at(2)), ["s6-7", "s7-9"]), (Base("s", 9, at(5)), []),
    (Base("s", 10, at(5)), []), (Base("s", 11, at(5)), ["s11-12", "s12-15"]),
    (Base("s", 0, at(0)), []), (Base("x", 4, at(0)), []), (Base("s", 99, at(99)), [])])
def test_parts_follow_a_backup_until_one_lacks(base: Base, ids: list[str]) -> None:
    assert [one.id for one in run(base, reversed(PARTS))] == ids


def test_doubled_parts_do_no_harm() -> None:
    again = [part(3, 5, 1.8), *PARTS, part(3, 6, 2)]
    assert latest(BASE, again) == at(4)


@pytest.mark.parametrize(("base", "minute", "why"), [
    (BASE, 1.5, None), (BASE, 1.75, None), (BASE, 4, None),
    (BASE, 1.4, "is before the end of the backup, 2026-05-01T12:01:30.000Z"),
    (BASE, 4.001, "lies in or after a gap: the archived log continues the backup up to "
                  "2026-05-01T12:04:00.000Z only"),
    (BASE, 9, "lies in or after a gap"), (Base("s", 11, at(5)), 9, None),
    (Base("s", 11, at(5)), 21, "is too late: the archived log continues the backup up to "
                               "2026-05-01T12:09:00.000Z only"),
    (Base("s", 15, at(9)), 30, "is too late: the archived log does not continue the backup yet"),
    # a part that ends before the backup does reaches no time with it
    (Base("s", 4, at(6)), 6, "does not continue the backup yet")])
def test_a_time_is_refused_with_the_reason(base: Base, minute: float, why: str | None) -> None:
    found = refuse(base, PARTS, at(minute))
    assert (found is None) == (why is None)
    assert (why or "") in (found or "")


@pytest.mark.parametrize(("minute", "ids"), [
    (1.5, ["s3-6"]), (2, ["s3-6"]), (2.1, ["s3-6", "s6-7", "s7-9"])])
def test_no_more_is_applied_than_a_time_needs(minute: float, ids: list[str]) -> None:
    assert [one.id for one in needed(BASE, PARTS, at(minute))] == ids


def test_the_range_is_that_of_all_backups() -> None:
    assert whole_range([BASE, Base("s", 11, at(5)), Base("x", 1, at(0))], PARTS) == Range(
        at(1.5), at(9))
    assert whole_range([Base("x", 1, at(0))], PARTS) is None
    assert whole_range([], PARTS) is None


@pytest.mark.parametrize(("bases", "oldest", "gone"), [
    # all after the newest backup before the time
    ([Base("s", 3, at(1)), Base("s", 6, at(2))], 3, {"s1-3", "s3-6"}),
    # there is none before it: all after the oldest
    ([Base("s", 6, at(2))], 1, {"s1-3", "s3-6"}),
    # without a backup, what is older
    ([], 3, {"s1-3", "s3-6", "s6-7"}),
    # nothing reaches the time
    ([Base("s", 3, at(1))], 10, {one.id for one in PARTS if one.stream == "s"})])
def test_what_no_restore_needs_goes(bases: list[Base], oldest: float, gone: set[str]) -> None:
    found = expendable([*bases, Base("other", 1, at(0))], PARTS, at(oldest))
    assert set(found) == gone


@pytest.mark.parametrize(("base", "following", "found"), [
    (Base("s", 4, at(1.5)), 15, (9, 11)), (Base("s", 10, at(5)), 15, (10, 11)),
    (Base("s", 11, at(5)), 15, None), (Base("s", 11, at(5)), 18, (15, 18)),
    (Base("s", 20, at(10)), 15, None), (Base("x", 4, at(0)), None, None),
    # what continued it may have gone with its time
    (Base("s", 0, at(0)), 15, None)])
def test_a_gap_is_what_lacks_before_later_log(
        base: Base, following: int | None, found: tuple[int, int] | None) -> None:
    assert gap(base, PARTS, following) == found


@pytest.mark.parametrize(("base", "stream", "number", "found"), [
    (Base("s", 11, at(5)), "s", 15, True), (Base("s", 15, at(9)), "s", 15, True),
    (Base("s", 4, at(1.5)), "s", 15, False), (Base("s", 11, at(5)), "other", 20, False),
    (Base("s", 11, at(5)), "s", None, False)])
def test_a_backup_is_continued_when_no_log_lacks_from_it_to_what_comes_next(
        base: Base, stream: str, number: int | None, found: bool) -> None:
    assert continues(base, PARTS, stream, number) is found
