"""Flavors."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from trove_ng.standalone.minicloud import nova_check as check
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud import nova_views as views
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Document
from trove_ng.standalone.minicloud.store import Store

# id, name, RAM in MiB, disk in GiB, virtual CPUs
SEEDS = (
    ("1", "db.tiny", 512, 5, 1),
    ("2", "db.small", 1024, 10, 1),
    ("3", "db.medium", 2048, 20, 2),
    ("4", "db.large", 4096, 40, 2),
)
_NAMESPACE = uuid.UUID("6a0f8c62-3f6e-4c0a-9a43-0a3ea1b0b0c5")
_KEYS = frozenset((
    "name", "id", "ram", "vcpus", "disk", "swap", "OS-FLV-EXT-DATA:ephemeral", "rxtx_factor",
    "os-flavor-access:is_public", "description",
))


def document(flavor_id: str, name: str, ram: int, disk: int, vcpus: int) -> Document:
    """Return a public flavor."""
    return {
        "id": flavor_id, "name": name, "ram": ram, "disk": disk, "vcpus": vcpus, "swap": 0,
        "ephemeral": 0, "rxtx_factor": 1.0, "is_public": True, "description": None,
        "extra_specs": {}, "project_id": "",
    }


class Flavors:
    """Keeps the flavors."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def seed(self, region: str = "") -> None:
        """Make the flavors of a new cloud.

        :param region: they have ids of its own; empty: the usual ones
        """
        with self._store.transaction():
            if not self._store.list("flavor"):
                for values in SEEDS:
                    flavor = document(*values)
                    if region:
                        flavor["id"] = str(
                            uuid.uuid5(_NAMESPACE, f"{region}:{flavor['id']}"))
                    self._save(flavor)

    def _save(self, flavor: Document) -> Document:
        self._store.put("flavor", flavor["id"], flavor, "")
        return flavor

    def _get(self, flavor_id: str, call: Call) -> Document:
        flavor = self._store.get("flavor", flavor_id)
        if flavor is None or not (flavor["is_public"] or call.caller.admin):
            raise errors.not_found(f"Flavor {flavor_id} could not be found.")
        return flavor

    @staticmethod
    def _admin(call: Call, rule: str) -> None:
        if not call.caller.admin:
            raise errors.forbidden(
                f"Policy doesn't allow os_compute_api:os-flavor-{rule} to be performed.")

    def index(self, call: Call, detail: bool = False) -> Answer:
        """Return flavors, ordered by id as Nova does by default (flavorid)."""
        found = sorted(
            (one for one in self._store.list("flavor") if self._listed(one, call)),
            key=lambda one: str(one["id"]))
        marker, limit = call.one("marker"), page_limit(call)
        if marker:
            places = [one["id"] for one in found]
            if marker not in places:
                raise errors.bad_request(f"marker [{marker}] not found")
            found = found[places.index(marker) + 1:]
        page = found[:limit]
        answer: Document = {"flavors": [
            views.flavor(one, call.caller.version, call.base, detail) for one in page]}
        if len(found) > len(page):
            query = urlencode({"limit": limit, "marker": page[-1]["id"]})
            kind = "flavors/detail" if detail else "flavors"
            answer["flavors_links"] = views.next_link(call.base, kind, query)
        return 200, answer

    def detail(self, call: Call) -> Answer:
        """Return flavors with all their attributes."""
        return self.index(call, detail=True)

    @staticmethod
    def _listed(flavor: Document, call: Call) -> bool:
        wanted = (call.one("is_public") or "").lower()
        if not call.caller.admin or wanted in ("true", "1", ""):
            if not flavor["is_public"]:
                return False
        elif wanted in ("false", "0") and flavor["is_public"]:
            return False
        for key, name in (("minRam", "ram"), ("minDisk", "disk")):
            least = call.one(key)
            if least is not None and flavor[name] < check.whole(least, key, 0):
                return False
        return True

    def show(self, call: Call, flavor_id: str) -> Answer:
        """Return one flavor."""
        flavor = self._get(flavor_id, call)
        return 200, {"flavor": views.flavor(flavor, call.caller.version, call.base)}

    def create(self, call: Call) -> Answer:
        """Make a flavor (administrators)."""
        self._admin(call, "manage:create")
        body = check.body(call.body, "flavor")
        check.only(body, _KEYS, "flavor")
        wanted = body.get("id")
        flavor_id = str(uuid.uuid4()) if wanted in (None, "auto") else str(wanted)
        flavor = document(
            flavor_id, check.name(body.get("name")), check.whole(body.get("ram"), "ram", 1),
            check.whole(body.get("disk"), "disk", 0), check.whole(body.get("vcpus"), "vcpus", 1))
        flavor["swap"] = check.whole(body.get("swap") or 0, "swap", 0)
        flavor["ephemeral"] = check.whole(
            body.get("OS-FLV-EXT-DATA:ephemeral") or 0, "ephemeral", 0)
        flavor["is_public"] = check.boolean(
            body.get("os-flavor-access:is_public", True), "os-flavor-access:is_public")
        flavor["description"] = body.get("description")
        with self._store.transaction():
            for one in self._store.list("flavor"):
                if one["id"] == flavor_id:
                    raise errors.conflict(f"Flavor with ID {flavor_id} already exists.")
                if one["name"] == flavor["name"]:
                    raise errors.conflict(
                        f"Flavor with name {flavor['name']} already exists.")
            self._save(flavor)
        return 200, {"flavor": views.flavor(flavor, call.caller.version, call.base)}

    def update(self, call: Call, flavor_id: str) -> Answer:
        """Change a flavor's description (administrators, from 2.55 on)."""
        self._admin(call, "manage:update")
        flavor = self._get(flavor_id, call)
        flavor["description"] = check.body(call.body, "flavor").get("description")
        self._save(flavor)
        return 200, {"flavor": views.flavor(flavor, call.caller.version, call.base)}

    def delete(self, call: Call, flavor_id: str) -> Answer:
        """Remove a flavor (administrators); servers keep what they have."""
        self._admin(call, "manage:delete")
        self._get(flavor_id, call)
        self._store.delete("flavor", flavor_id)
        return 202, None

    def specs(self, call: Call, flavor_id: str) -> Answer:
        """Return the extra specs of a flavor."""
        return 200, {"extra_specs": self._get(flavor_id, call)["extra_specs"]}

    def set_specs(self, call: Call, flavor_id: str) -> Answer:
        """Add extra specs (administrators)."""
        self._admin(call, "extra-specs:create")
        flavor = self._get(flavor_id, call)
        flavor["extra_specs"].update(check.metadata(check.body(call.body, "extra_specs")))
        self._save(flavor)
        return 200, {"extra_specs": flavor["extra_specs"]}

    def spec(self, call: Call, flavor_id: str, key: str) -> Answer:
        """Return one extra spec."""
        specs = self._get(flavor_id, call)["extra_specs"]
        if key not in specs:
            raise errors.not_found(
                f"Flavor {flavor_id} has no extra specs with key {key}.")
        return 200, {key: specs[key]}

    def set_spec(self, call: Call, flavor_id: str, key: str) -> Answer:
        """Set one extra spec (administrators)."""
        self._admin(call, "extra-specs:update")
        values = check.metadata(call.body)
        if list(values) != [key]:
            raise errors.bad_request("Request body and URI mismatch")
        flavor = self._get(flavor_id, call)
        flavor["extra_specs"].update(values)
        self._save(flavor)
        return 200, dict(values)

    def delete_spec(self, call: Call, flavor_id: str, key: str) -> Answer:
        """Remove one extra spec (administrators)."""
        self._admin(call, "extra-specs:delete")
        self.spec(call, flavor_id, key)
        flavor = self._get(flavor_id, call)
        del flavor["extra_specs"][key]
        self._save(flavor)
        return 200, None

    def access(self, call: Call, flavor_id: str) -> Answer:
        """Return who may use a private flavor: administrators only."""
        flavor = self._get(flavor_id, call)
        if flavor["is_public"]:
            raise errors.not_found("Access list not available for public flavors.")
        return 200, {"flavor_access": []}


def page_limit(call: Call, most: int = 1000) -> int:
    """Return how many entries a page has."""
    raw: Any = call.one("limit")
    if raw is None:
        return most
    limit = check.whole(raw, "limit", 0)
    return min(limit, most) if limit else most
