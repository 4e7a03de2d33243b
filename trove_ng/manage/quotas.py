"""Commands about the quotas of projects."""

from __future__ import annotations

import argparse

from trove_ng.common.errors import BadRequest
from trove_ng.conf import quota
from trove_ng.db.repositories import quotas
from trove_ng.manage.command import Command, Tools, arg, at_least

_PROJECT = arg("project", help="id of the project")


def _show(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        limits = quotas.limits(session, options.project, quota.defaults(tools.conf))
        used = quotas.usage(session, options.project)
        counted = quotas.counted(session, options.project)
    for name, limit in limits.items():
        in_use, reserved = used.get(name, (0, 0))
        tools.say(f"{name}: {in_use} of {limit} in use, of which {reserved} reserved; "
                  f"{counted[name]} counted")


def _set(tools: Tools, options: argparse.Namespace) -> None:
    if options.resource not in quotas.RESOURCES:
        raise BadRequest(f"resource must be one of {', '.join(quotas.RESOURCES)}.")
    with tools.db.writer() as session:
        quotas.set_limits(session, options.project, {options.resource: options.limit})
    tools.say(f"{options.resource} of {options.project}: {options.limit}")


def _recount(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        changed = quotas.recount(session, options.project)
    for name, (before, after) in changed.items():
        tools.say(f"{name}: {before} → {after}")
    tools.say(f"{len(changed)} counts were wrong")


COMMANDS = (
    Command("quota_show", "show limits and use of a project", _show, (_PROJECT,)),
    Command("quota_update", "set a limit of a project", _set, (
        _PROJECT, arg("resource", help=", ".join(quotas.RESOURCES)),
        arg("limit", type=at_least(quotas.UNLIMITED), help="-1: none"))),
    Command("quota_recount", "count the use of a project again", _recount, (_PROJECT,)),
)
