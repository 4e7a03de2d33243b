"""Verifying backups at the command line."""

from __future__ import annotations

from tests.functional.api.conftest import FOREIGN, OWN, Api
from tests.functional.osc.conftest import OpenStack


def test_a_backup_is_verified_by_name_or_id(openstack: OpenStack, app: Api) -> None:
    name = app("GET", f"/backups/{OWN}8").json["backup"]["name"]
    openstack.does("database", "backup", "verify", name)
    assert len(app.waker.woken) == 1
    found = openstack("database", "operation", "list", "--resource", f"{OWN}8")
    assert "backup.verify" in [one["Action"] for one in found]
    assert "HTTP 409" in openstack.fails("database", "backup", "verify", f"{OWN}8")
    assert openstack.fails("database", "backup", "verify", f"{FOREIGN}8") == (
        f"There is no backup {FOREIGN + '8'!r}.")
