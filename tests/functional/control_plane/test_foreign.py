"""What others have in the cloud under names like ours is left alone."""

from __future__ import annotations

import uuid

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


def test_customers_resources_named_like_ours_survive_a_delete(plane: ControlPlane) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    foreign = [(kind, imitate(plane, kind, f"trove-{ident}{ending}")) for kind, ending in (
        ("port", "-0"), ("port", "-x"), ("security_group", ""))]
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    plane.reconcile()
    for kind, other in foreign:
        assert plane.minicloud.store.get(kind, other) is not None
        plane.minicloud.store.delete(kind, other)
    assert plane.resources() == NOTHING
