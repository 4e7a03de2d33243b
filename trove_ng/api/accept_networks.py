"""What networks a request for an instance asks for."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest
from trove_ng.domain.catalog import CloudCatalog


def wanted(call: Call, catalog: CloudCatalog, nics: list[dict[str, Any]],
           ) -> list[dict[str, Any]]:
    """Return the networks in one form, checked to be the caller's.

    :param catalog: of the region of the instance
    :raises BadRequest: names field and rule
    """
    found = []
    for number, nic in enumerate(nics):
        field = f"instance.nics[{number}]"
        if "port-id" in nic:
            raise BadRequest(
                f"Validation error: {field}.port-id: the cloud gives a port of your project to "
                "no server of the service; name its network_id and another ip_address.")
        network = nic.get("network_id") or nic.get("net-id")
        subnet = nic.get("subnet_id") or nic.get("subnet-id")
        address = nic.get("ip_address") or nic.get("ip-address") or nic.get("v4-fixed-ip")
        project = call.context.project_id
        if subnet is not None:
            owner = catalog.subnet_network(subnet, project)
            if owner is None or network not in (None, owner):
                raise BadRequest(f"Validation error: {field}.subnet_id {subnet} does not exist"
                                 " in the network.")
            network = owner
        if network is None:
            raise BadRequest(f"Validation error: {field}.network_id is required.")
        if not catalog.network_exists(network, project):
            raise BadRequest(
                f"Validation error: {field}.network_id {network} does not exist.")
        if address is not None:
            _check_address(catalog, f"{field}.ip_address", network, subnet, address)
        entry = {"network_id": network, "subnet_id": subnet, "ip_address": address}
        found.append({name: value for name, value in entry.items() if value is not None})
    return found


def _check_address(catalog: CloudCatalog, field: str, network: str, subnet: str | None,
                   address: str) -> None:
    """Check that a server may have an address.

    :raises BadRequest: it is of no subnet, or is taken
    """
    if not any(one.holds(address) for one in catalog.list_subnets(network)
               if subnet in (None, one.id)):
        raise BadRequest(f"Validation error: {field} {address} is not an address for servers "
                         f"of the {'network' if subnet is None else 'subnet'}.")
    if catalog.address_in_use(network, address):
        raise BadRequest(f"Validation error: {field} {address} is in use.")
