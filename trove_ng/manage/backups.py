"""Commands about backups."""

from __future__ import annotations

import argparse
import datetime
import json

from trove_ng.common.clock import isoformat, utcnow
from trove_ng.db.repositories import backups
from trove_ng.db.rows import AnyRow
from trove_ng.manage.command import Command, Tools, arg, at_least


def _list(tools: Tools, options: argparse.Namespace) -> None:
    before = utcnow() - datetime.timedelta(days=options.older_than)
    with tools.db.reader() as session:
        found = [_plain(row) for row in backups.unverified(session, before)]
    if options.json:
        tools.say(json.dumps({"backups": found}, indent=2))
        return
    for one in found:
        tools.say(f"{one['id']}  {one['project_id']}  {one['status']:9}  "
                  f"{one['verified_at'] or 'never':19}  {one['reason'] or one['name']}")
    tools.say(f"{len(found)} backups were not verified within {options.older_than} days")


def _plain(row: AnyRow) -> dict[str, str | None]:
    return {"id": row.id, "name": row.name, "project_id": row.tenant_id, "status": row.state,
            "created": isoformat(row.created), "verified_at": isoformat(row.verified_at),
            "reason": (row.verification or {}).get("reason")}


COMMANDS = (
    Command("backup_verification", "show backups that were not verified lately", _list, (
        arg("--older-than", type=at_least(0), default=30, metavar="DAYS",
            help="the last time it succeeded is so long ago, or never was (default: 30)"),
        arg("--json", action="store_true", help="print JSON"))),
)
