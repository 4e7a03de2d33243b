"""Commands about operations."""

from __future__ import annotations

import argparse

from trove_ng.common.clock import utcnow
from trove_ng.common.errors import NotFound
from trove_ng.db.repositories import operations
from trove_ng.manage.command import Command, Tools, arg, at_least
from trove_ng.operations.retention import purge_operations


def _list(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        found = operations.latest(session, options.limit, live=not options.all)
    for row in found:
        tools.say(f"{row.id}  {row.action:24} {row.status:9} {row.percent:3} %  "
                  f"{row.resource_id}  {row.step or '-'}")
    tools.say(f"{len(found)} operations")


def _show(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        row = operations.get(session, options.id)
        if row is None:
            raise NotFound.of("Operation", options.id)
        steps = operations.steps(session, options.id)
    for name in ("id", "action", "resource_type", "resource_id", "tenant_id", "status", "step",
                 "percent", "attempts", "owner", "created", "started_at", "ended_at",
                 "deadline_at", "error"):
        tools.say(f"{name}: {getattr(row, name)}")
    for step in steps:
        tools.say(f"  {step.step}: {step.state}, {step.attempts}×, {step.started_at} to "
                  f"{step.ended_at or '-'}{': ' + step.error if step.error else ''}")


def _purge(tools: Tools, options: argparse.Namespace) -> None:
    days = tools.conf.operations.keep_days if options.days is None else options.days
    tools.say(f"{purge_operations(tools.db, utcnow(), days)} operations are removed")


COMMANDS = (
    Command("operation_list", "show operations", _list, (
        arg("--all", action="store_true", help="also those that have ended"),
        arg("--limit", type=at_least(1), default=50, help="at most so many (default: 50)"))),
    Command("operation_show", "show an operation and its steps", _show, (arg("id"),)),
    Command("operation_purge", "remove operations that ended long ago", _purge, (
        arg("--days", type=at_least(1),
            help="those that ended before (default: the option [operations] keep_days)"),)),
)
