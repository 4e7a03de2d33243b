"""Flavors and volume types, whole or as bound to a version."""

from __future__ import annotations

from typing import Any

from trove_ng.api import effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views import datastores as views
from trove_ng.common.errors import NotFound
from trove_ng.domain.catalog import Flavor, VolumeType
from trove_ng.domain.versions import Limits


def index(call: Call) -> dict[str, Any]:
    """List flavors."""
    found = call.services.catalog.list_flavors()
    return {"flavors": [views.flavor(call, item) for item in found if _seen(call, item)]}


def _seen(call: Call, item: Flavor | VolumeType) -> bool:
    """Return whether the caller sees it: what is not public is for administrators."""
    return item.is_public or call.context.is_admin


def show(call: Call) -> dict[str, Any]:
    """Show a flavor; with the id of a datastore version, list those that it allows."""
    found = call.services.catalog.get_flavor(call.params["id"])
    if found is not None and _seen(call, found):
        return {"flavor": views.flavor(call, found)}
    try:
        return of_version(call)
    except NotFound:
        raise NotFound.of("Flavor", call.params["id"]) from None


def of_version(call: Call) -> dict[str, Any]:
    """List the flavors that instances of a version may have."""
    found = _limits(call).allowed_flavors(call.services.catalog.list_flavors())
    return {"flavors": [views.flavor(call, item) for item in found]}


def _limits(call: Call) -> Limits:
    with call.services.db.reader() as session:
        version, _ = effective_versions.named(session, call)
        return effective_versions.limits(session, version.id)


def volume_types(call: Call) -> dict[str, Any]:
    """List volume types."""
    found = call.services.catalog.list_volume_types()
    return {"volume_types": [views.volume_type(item) for item in found if _seen(call, item)]}


def volume_type(call: Call) -> dict[str, Any]:
    """Show a volume type by id or name."""
    ident = call.params["id"]
    for item in call.services.catalog.list_volume_types():
        if ident in (item.id, item.name) and _seen(call, item):
            return {"volume_type": views.volume_type(item)}
    raise NotFound.of("Volume type", ident)


def volume_types_of_version(call: Call) -> dict[str, Any]:
    """List the volume types that instances of a version may have."""
    found = _limits(call).allowed_volume_types(call.services.catalog.list_volume_types())
    return {"volume_types": [views.volume_type(item) for item in found]}
