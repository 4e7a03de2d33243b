"""What is wrong is seen by the checker that all fault tests rely on."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.world import World
from trove_ng.db.models import QuotaUsage
from trove_ng.db.repositories import quotas


@pytest.mark.parametrize("resource", sorted(quotas.RESOURCES))
def test_use_that_is_not_written_down_is_seen(world: World, resource: str) -> None:
    world.backup()
    project_id = world.plane.project_id
    with world.plane.db.writer() as session:
        session.execute(delete(QuotaUsage).where(
            QuotaUsage.tenant_id == project_id, QuotaUsage.resource == resource))
    found = violations(world.plane)
    with world.plane.db.writer() as session:
        count = quotas.counted(session, project_id)[resource]
        quotas.recount(session, project_id)
    assert found == [
        f"{resource}: 0 in use and 0 reserved, the rows add up to {count}"]
    world.check()
