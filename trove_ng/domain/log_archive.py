"""To which times a database can be restored: backups, and the archived log after them.

A part of the log says from which number up to before which it is, in which stream.  A restore
applies parts that follow a backup without a gap, up to the first one that reaches the time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Base(NamedTuple):
    """A backup that log can be applied to.

    :param number: of the part of the log that continues it
    :param ended: no earlier time can be restored with it
    """

    stream: str
    number: int
    ended: datetime.datetime


class Part(NamedTuple):
    """A part of the archived log.

    :param following: number of the part of the log after it
    :param until: all changes up to then are in it, or before it; None: it does not tell
    """

    id: str
    stream: str
    number: int
    following: int
    until: datetime.datetime | None


class Range(NamedTuple):
    """From when until when a database can be restored; gaps between are not shown."""

    earliest: datetime.datetime
    latest: datetime.datetime


def run(base: Base, parts: Iterable[Part]) -> list[Part]:
    """Return the parts that follow a backup without a gap, in their order."""
    found: list[Part] = []
    reached = base.number
    for part in sorted(parts, key=lambda one: (one.number, one.following)):
        if part.stream != base.stream or part.following <= reached:
            continue
        if part.number > reached:
            break
        found.append(part)
        reached = part.following
    return found


def latest(base: Base, parts: Iterable[Part]) -> datetime.datetime | None:
    """Return up to when a backup can be brought; None: not beyond itself."""
    times = [part.until for part in run(base, parts) if part.until is not None]
    return max((one for one in times if one >= base.ended), default=None)


def gap(base: Base, parts: Iterable[Part], following: int | None) -> tuple[int, int] | None:
    """Return from which number up to before which one log after a backup lacks that later log
    is there of; None if none does.

    That all log of an old backup's time has gone is no gap.

    :param following: number of the part of the log that is archived next, if that is of the
        backup's stream
    """
    same = [part for part in parts if part.stream == base.stream]
    found = run(base, same)
    reached = found[-1].following if found else base.number
    if not found and all(part.number > reached for part in same):
        return None
    later = [number for number in (*(part.number for part in same), following)
             if number is not None and number > reached]
    return (reached, min(later)) if later else None


def continues(base: Base, parts: Iterable[Part], stream: str | None, number: int | None) -> bool:
    """Return whether a backup can be brought to all times from now on.

    :param stream: that is archived
    :param number: of the part of the log that is archived next; None: of the first one
    """
    if number is None or base.stream != stream:
        return False
    found = run(base, parts)
    return base.number >= number or bool(found) and found[-1].following >= number


def whole_range(bases: Iterable[Base], parts: Sequence[Part]) -> Range | None:
    """Return the range of times that some backup can be brought to, None if there is none."""
    reached = [(base.ended, end) for base in bases
               if (end := latest(base, parts)) is not None]
    if not reached:
        return None
    return Range(min(begin for begin, _ in reached), max(end for _, end in reached))


def refuse(base: Base, parts: Sequence[Part], wanted: datetime.datetime) -> str | None:
    """Return why a backup cannot be brought to a time, None if it can."""
    if wanted < base.ended:
        return f"is before the end of the backup, {_plain(base.ended)}"
    end = latest(base, parts)
    if end is not None and wanted <= end:
        return None
    reached = "archived log does not continue the backup yet" if end is None else (
        f"archived log continues the backup up to {_plain(end)} only")
    later = any(part.until is not None and part.until >= wanted for part in parts)
    return f"lies in or after a gap: the {reached}" if later else f"is too late: the {reached}"


def needed(base: Base, parts: Sequence[Part], wanted: datetime.datetime) -> list[Part]:
    """Return the parts to apply to a backup to bring it to a time that is not refused."""
    found: list[Part] = []
    for part in run(base, parts):
        found.append(part)
        if part.until is not None and part.until >= wanted:
            break
    return found


def expendable(bases: Iterable[Base], parts: Sequence[Part], oldest: datetime.datetime,
               ) -> list[str]:
    """Return the ids of the parts that no restore to a time since ``oldest`` needs.

    That needs all after the newest backup before that time, if the log reaches the time.
    Without a backup, a part may be needed by one that is being made.
    """
    known = list(bases)
    ends = {part.stream: oldest for part in parts}
    ends |= {one: max((part.until for part in parts if part.stream == one
                       and part.until is not None), default=oldest) for one in ends}
    gone: list[str] = []
    for part in parts:
        if ends[part.stream] < oldest:
            gone.append(part.id)
            continue
        same = [base for base in known if base.stream == part.stream]
        before = [base.number for base in same if base.ended <= oldest]
        least = max(before) if before else min((base.number for base in same), default=None)
        if least is not None:
            if part.following <= least:
                gone.append(part.id)
        elif part.until is None or part.until < oldest:
            gone.append(part.id)
    return gone


def _plain(moment: datetime.datetime) -> str:
    return f"{moment.isoformat(timespec='milliseconds')}Z"
