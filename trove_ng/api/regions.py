"""In which region an instance is made, and whether it can be made there."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest
from trove_ng.conf.cloud import own_region
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import datastores
from trove_ng.domain import regions
from trove_ng.domain.catalog import Flavor


def wanted(call: Call, body: dict[str, Any]) -> str:
    """Return the region that a request for an instance names, or the configured one.

    :raises BadRequest: there is no such region
    """
    own = own_region(call.services.conf)
    names = {body[name] for name in ("region_name", "region") if body.get(name)}
    if len(names) > 1:
        raise BadRequest("Validation error: instance.region and instance.region_name are not "
                         "the same.")
    found: str = names.pop() if names else own
    if found != own and found not in call.services.catalog.regions():
        raise BadRequest(f"Validation error: instance.region_name {found} does not exist.")
    return found


def flavor_there(call: Call, field: str, flavor: Flavor, region: str | None) -> Flavor:
    """Return what a flavor of the configured region is in another one.

    :param field: of the request, for messages
    :param region: None: the configured one
    :raises BadRequest: the region does not have the same flavor
    """
    there = call.services.catalog.in_region(region)
    if region is None or region == own_region(call.services.conf):
        return flavor
    try:
        return regions.like_flavor(flavor, there.list_flavors(), region)
    except regions.NotEquivalent as err:
        raise BadRequest(f"Validation error: {field} {flavor.id}: {err.message}") from None


def check_image(call: Call, version: DatastoreVersion, region: str) -> None:
    """Check that another region has the image of a datastore version.

    :raises BadRequest: it does not
    """
    catalog = call.services.catalog
    image = catalog.find_image(version.image_id, datastores.image_tags(version))
    if image is None:
        # as in the configured region, what becomes of it is told by the operation
        return
    try:
        regions.like_image(image, catalog.in_region(region).images_named(image.name), region)
    except regions.NotEquivalent as err:
        raise BadRequest(f"Validation error: instance.region_name: {err.message}") from None
