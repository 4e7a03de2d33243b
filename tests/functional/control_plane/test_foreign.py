"""What others have in the cloud under names like ours is left alone."""

from __future__ import annotations

import uuid

import pytest

from tests.functional.control_plane.conftest import NOTHING, ControlPlane


def imitate(plane: ControlPlane, kind: str, name: str) -> str:
    """Give a customer's project a copy of what the service made; return its id."""
    store = plane.minicloud.store
    service = plane.minicloud.people.named("project", "service")["id"]
    doc = next(one for one in store.list(kind, service) if one["name"].startswith("trove-"))
    ident = str(uuid.uuid4())
    store.put(kind, ident, {**doc, "id": ident, "name": name, "device_id": "",
                            "device_owner": "", "project_id": plane.project_id,
                            "tenant_id": plane.project_id, "fixed_ips": [],
                            "security_groups": []},
              plane.project_id)
    return ident


@pytest.mark.parametrize(("kind", "ending"), [
    ("port", "-0"), ("port", "-x"), ("security_group", "")])
def test_a_customers_resource_named_like_ours_survives_a_delete(
        plane: ControlPlane, kind: str, ending: str) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    foreign = imitate(plane, kind, f"trove-{ident}{ending}")
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    plane.reconcile()
    assert plane.minicloud.store.get(kind, foreign) is not None
    plane.minicloud.store.delete(kind, foreign)
    assert plane.resources() == NOTHING
