"""Commands about the instances' timelines."""

from __future__ import annotations

import argparse

from trove_ng.common.clock import utcnow
from trove_ng.db.repositories import events
from trove_ng.manage.command import Command, Tools, arg, at_least
from trove_ng.operations.retention import purge_events


def _list(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        found = events.page(session, options.id, limit=options.limit)[:options.limit]
    for row in reversed(found):
        tools.say(f"{row.created}  {row.kind:21} {row.message}")
    tools.say(f"{len(found)} events")


def _purge(tools: Tools, options: argparse.Namespace) -> None:
    days = tools.conf.event_keep_days if options.days is None else options.days
    tools.say(f"{purge_events(tools.db, utcnow(), days)} events are removed")


COMMANDS = (
    Command("event_list", "show the timeline of an instance", _list, (
        arg("id"),
        arg("--limit", type=at_least(1), default=50, help="the newest so many (default: 50)"))),
    Command("event_purge", "remove old events", _purge, (
        arg("--days", type=at_least(1),
            help="those that are older (default: the option event_keep_days)"),)),
)
