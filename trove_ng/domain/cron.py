"""When a cron pattern is due: pure functions of pattern, time zone and time.

Times are naive UTC.  A pattern whose hour begins with ``*`` is about time that passes: it is
due also in the hour that is there twice when the clocks go back.  Any other is about what
clocks show: it is due once on each day, at the first of two such times, and one that the
clocks skip is due as much later as they skip.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo

from croniter import CroniterError, croniter

from trove_ng.common.errors import BadRequest

_NUMBER = r"(?:[0-9]{1,2}|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC" \
          r"|SUN|MON|TUE|WED|THU|FRI|SAT)"
_PART = rf"(?:\*|L|{_NUMBER}(?:-{_NUMBER}|#[1-5])?)(?:/[0-9]{{1,2}})?"
_FIELD = rf"{_PART}(?:,{_PART}){{0,59}}"
_PATTERN = re.compile(rf"{_FIELD}(?: {_FIELD}){{4}}", re.IGNORECASE)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_TICK = datetime.timedelta(microseconds=1)
#: how far back the last due time is looked for first, then further
_WINDOWS = tuple(datetime.timedelta(hours=hours) for hours in (1, 48, 1500, 15000, 90000))


def check(pattern: str, time_zone: str, now: datetime.datetime) -> str:
    """Return a pattern in the form that is stored.

    :raises BadRequest: pattern or time zone are none, or the pattern is never due
    """
    text = " ".join(pattern.split())
    if not _PATTERN.fullmatch(text):
        raise BadRequest("Validation error: schedule.pattern must have the five fields minute, "
                         "hour, day of month, month and day of week.")
    _zone(time_zone)
    try:
        following(text, time_zone, now)
    except CroniterError as err:
        raise BadRequest(f"Validation error: schedule.pattern: {err}.") from err
    return text


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        if _ZONE.fullmatch(name):
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        pass
    raise BadRequest(f"Validation error: schedule.time_zone {name} is not a time zone of the "
                     "IANA database.")


def following(pattern: str, time_zone: str, after: datetime.datetime) -> datetime.datetime:
    """Return the first time after another one at which a pattern is due."""
    zone = _zone(time_zone)
    if pattern.split()[1].startswith("*"):
        return _passing(pattern, zone, after)
    return _shown(pattern, zone, after)


def last(pattern: str, time_zone: str, since: datetime.datetime, now: datetime.datetime,
         ) -> datetime.datetime:
    """Return the last time up to now at which a pattern was due.

    :param since: a time up to now at which it was due
    """
    for window in _WINDOWS:
        begin = max(since, now - window)
        due = following(pattern, time_zone, begin - _TICK)
        if due > now:
            continue
        while (later := following(pattern, time_zone, due)) <= now:
            due = later
        return due
    return since


def _utc(local: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    return local.replace(tzinfo=zone).astimezone(datetime.UTC).replace(tzinfo=None)


def _offset(zone: zoneinfo.ZoneInfo, moment: datetime.datetime) -> datetime.timedelta:
    return moment.replace(tzinfo=datetime.UTC).astimezone(zone).utcoffset() or (
        datetime.timedelta())


def _shown(pattern: str, zone: zoneinfo.ZoneInfo, after: datetime.datetime,
           ) -> datetime.datetime:
    local = after + _offset(zone, after)
    while True:
        local = croniter(pattern, local).get_next(datetime.datetime)
        due = _utc(local, zone)
        if due > after:
            return due


def _passing(pattern: str, zone: zoneinfo.ZoneInfo, after: datetime.datetime,
             ) -> datetime.datetime:
    while True:
        offset = _offset(zone, after)
        due = croniter(pattern, after + offset).get_next(datetime.datetime) - offset
        if _offset(zone, due) == offset:
            return due
        change = _change(zone, after, due)
        if due < change:
            return due
        after = change - _TICK
        # nothing is due before the clocks change; from then on the other offset holds
        offset = _offset(zone, change)
        due = croniter(pattern, after + offset).get_next(datetime.datetime) - offset
        if _offset(zone, due) == offset:
            return due
        after = change


def _change(zone: zoneinfo.ZoneInfo, low: datetime.datetime, high: datetime.datetime,
            ) -> datetime.datetime:
    """Return when the clocks change between two times with different offsets."""
    before = _offset(zone, low)
    while high - low > _TICK:
        middle = low + (high - low) / 2
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
