"""When patterns are due, also when the clocks change."""

from __future__ import annotations

import datetime

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.domain import cron

BERLIN, YORK = "Europe/Berlin", "America/New_York"


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def several(pattern: str, zone: str, after: str, count: int) -> list[str]:
    found, moment = [], at(after)
    for _ in range(count):
        moment = cron.following(pattern, zone, moment)
        found.append(f"{moment:%d %H:%M}")
    return found


@pytest.mark.parametrize(("pattern", "zone", "after", "due"), [
    ("*/2 * * * *", "UTC", "2026-01-01T00:00:00", "2026-01-01T00:02:00"),
    ("*/2 * * * *", "UTC", "2026-01-01T00:01:59.999999", "2026-01-01T00:02:00"),
    ("0 2 * * *", "UTC", "2026-01-01T02:00:00", "2026-01-02T02:00:00"),
    ("0 2 * * *", BERLIN, "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
    ("0 2 * * *", BERLIN, "2026-07-01T00:00:00", "2026-07-02T00:00:00"),
    ("30 23 * * sun", YORK, "2026-07-01T00:00:00", "2026-07-06T03:30:00"),
    ("0 0 L * *", "UTC", "2026-02-01T00:00:00", "2026-02-28T00:00:00"),
    ("0 0 29 2 *", "UTC", "2026-02-01T00:00:00", "2028-02-29T00:00:00"),
    ("0 0 * * 1#2", "UTC", "2026-01-01T00:00:00", "2026-01-12T00:00:00")])
def test_a_pattern_is_due_by_the_clocks_of_its_zone(pattern: str, zone: str, after: str,
                                                    due: str) -> None:
    assert cron.following(pattern, zone, at(after)) == at(due)


def test_a_time_that_the_clocks_skip_is_due_once_as_much_later() -> None:
    # on 29 March 2026 clocks in Berlin go from 2:00 (1:00 UTC) to 3:00
    assert several("30 2 * * *", BERLIN, "2026-03-28T00:00:00", 3) == [
        "28 01:30", "29 01:30", "30 00:30"]


def test_a_time_that_there_is_twice_is_due_once() -> None:
    # on 25 October 2026 clocks in Berlin go from 3:00 (1:00 UTC) to 2:00
    assert several("30 2 * * *", BERLIN, "2026-10-24T12:00:00", 2) == ["25 00:30", "26 01:30"]
    # also for who asks in between
    assert several("30 2 * * *", BERLIN, "2026-10-25T00:45:00", 1) == ["26 01:30"]
    assert several("30 2 * * *", BERLIN, "2026-10-25T01:15:00", 1) == ["26 01:30"]


@pytest.mark.parametrize(("day", "first"), [("2026-03-29", "00:00"), ("2026-10-25", "00:00")])
def test_what_is_due_every_so_often_is_so_when_the_clocks_change(day: str, first: str) -> None:
    found = several("*/20 * * * *", BERLIN, f"{day}T{first}:00", 12)
    assert found == [f"{day[-2:]} {hour:02}:{minute:02}" for hour in range(5)
                     for minute in (0, 20, 40)][1:13]


def test_hours_in_steps_follow_the_clocks() -> None:
    # 0, 2, 4 and 6 o'clock: those that there are
    assert several("0 */2 * * *", BERLIN, "2026-03-28T22:30:00", 4) == [
        "28 23:00", "29 02:00", "29 04:00", "29 06:00"]
    assert several("0 */2 * * *", BERLIN, "2026-10-24T21:30:00", 4) == [
        "24 22:00", "25 00:00", "25 01:00", "25 03:00"]


@pytest.mark.parametrize("zone", [BERLIN, YORK, "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
@pytest.mark.parametrize("pattern", ["*/17 * * * *", "5 3 * * *", "0 */3 * * *", "30 1,2 * * *",
                                     "0 0 1 * *"])
@pytest.mark.parametrize("begin", ["2026-03-06", "2026-03-27", "2026-04-03", "2026-10-02",
                                   "2026-10-23", "2026-10-30"])
def test_times_rise_whatever_the_clocks_do(pattern: str, zone: str, begin: str) -> None:
    moment = at(f"{begin}T00:00:00")
    end, longest = moment + datetime.timedelta(days=4), datetime.timedelta()
    while moment < end:
        later = cron.following(pattern, zone, moment)
        assert later > moment
        longest, moment = max(longest, later - moment), later
    if "*/17" in pattern:
        assert longest <= datetime.timedelta(minutes=31)


@pytest.mark.parametrize(("pattern", "since", "now", "last"), [
    ("*/2 * * * *", "2026-01-01T00:02", "2026-01-01T00:02", "2026-01-01T00:02"),
    ("*/2 * * * *", "2026-01-01T00:02", "2026-01-01T00:05", "2026-01-01T00:04"),
    ("* * * * *", "2020-01-01T00:02", "2026-01-01T00:05:30", "2026-01-01T00:05"),
    ("0 2 * * *", "2026-01-01T02:00", "2026-03-01T01:00", "2026-02-28T02:00"),
    ("0 0 1 * *", "2025-01-01T00:00", "2026-01-20T01:00", "2026-01-01T00:00"),
    ("0 0 29 2 *", "2024-02-29T00:00", "2027-01-20T01:00", "2024-02-29T00:00"),
    ("0 0 29 2 *", "2024-02-29T00:00", "2029-01-20T01:00", "2028-02-29T00:00")])
def test_of_what_was_missed_the_last_is_found(pattern: str, since: str, now: str,
                                              last: str) -> None:
    assert cron.last(pattern, "UTC", at(since), at(now)) == at(last)


@pytest.mark.parametrize("pattern", [
    "", "* * * *", "* * * * * *", "@daily", "H * * * *", "R 1 * * *", "60 * * * *",
    "* 24 * * *", "0 0 30 2 *", "*/0 * * * *", "x * * * *", "* * * * *; ls", "* * * * FOO",
    "*" * 300, ",".join(["1"] * 61) + " * * * *"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadRequest, match=r"schedule\.pattern"):
        cron.check(pattern, "UTC", at("2026-01-01T00:00:00"))


@pytest.mark.parametrize("zone", ["", "Nowhere/City", "../UTC", "/etc/passwd", "UTC\0", "+01:00",
                                  "Europe", "a" * 300])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(BadRequest, match=r"schedule\.time_zone"):
        cron.check("0 2 * * *", zone, at("2026-01-01T00:00:00"))


def test_a_pattern_is_stored_with_single_spaces() -> None:
    assert cron.check(" 0  2 * *\tMon-Fri ", BERLIN, at("2026-01-01T00:00:00")) == (
        "0 2 * * Mon-Fri")
