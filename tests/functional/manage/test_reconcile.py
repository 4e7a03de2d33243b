"""The comparison at the command line, as far as it goes without a cloud."""

from __future__ import annotations

from tests.functional.manage.conftest import Operator
from trove_ng.common.clock import SystemClock
from trove_ng.db.session import Database
from trove_ng.operations.duty import Duty


def test_a_comparison_needs_a_cloud(operator: Operator) -> None:
    assert "auth_url is not configured" in operator.fails("reconcile")


def test_repairs_wait_for_those_of_a_taskmanager(operator: Operator, database: Database) -> None:
    operator.conf.set_override(
        "auth_url", "http://127.0.0.1:1/v3", group="service_credentials")
    assert Duty(database, SystemClock(), "reconciliation", "tm-1").take()
    assert "is being done by tm-1" in operator.fails("reconcile", "--fix")
