"""Which backups were not verified lately."""

from __future__ import annotations

import datetime
import json
from typing import Any

from trove_ng.common.clock import utcnow
from trove_ng.db.models import Backup
from trove_ng.db.session import Database

from .conftest import Operator


def _add(session: Any, name: str, age: float | None, **more: Any) -> None:
    at = None if age is None else utcnow() - datetime.timedelta(days=age)
    session.add(Backup(id=name, **{"name": name, "tenant_id": "t", "state": "COMPLETED",
                                   "verified_at": at, **more}))


def test_backups_that_were_not_verified_are_listed(operator: Operator,
                                                   database: Database) -> None:
    with database.writer() as session:
        _add(session, "fresh", 1)
        _add(session, "old", 40)
        _add(session, "older", 50, state="CORRUPT", verification={"reason": "It is damaged."})
        _add(session, "never", None, state="RESTORED")
        _add(session, "gone", None, deleted=True)
        _add(session, "failed", None, state="FAILED")
    shown = operator.does("backup_verification")
    assert [line.split()[0] for line in shown[:-1]] == ["never", "older", "old"]
    assert shown[1].endswith("It is damaged.")
    assert shown[-1] == "3 backups were not verified within 30 days"
    found = json.loads("\n".join(operator.does(
        "backup_verification", "--older-than", "45", "--json")))
    assert [one["id"] for one in found["backups"]] == ["never", "older"]
