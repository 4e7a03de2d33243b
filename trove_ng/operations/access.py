"""Who reaches the database of an instance: floating address and rules.

All functions may be repeated: what carries the instance's id is found first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trove_ng.cloud.errors import CloudConflict
from trove_ng.cloud.types import FloatingIP
from trove_ng.db.models import Instance
from trove_ng.db.repositories import instances
from trove_ng.operations import servers
from trove_ng.operations.work import StepFailed, Work

Access = Mapping[str, Any]


def open_for(work: Work, access: Access) -> None:
    """Let in exactly the networks that ``access`` allows."""
    instance = servers.load(work)
    if instance.security_group_id is None:
        raise StepFailed("The instance has no security group.")
    allowed = _allowed(work, access)
    with work.reader() as session:
        replicas = instances.replicas(session, instance.id)
    servers.open_to(work, instance.security_group_id, [*allowed, *_outside(allowed, replicas)])


def _allowed(work: Work, access: Access) -> Sequence[str]:
    found: Sequence[str] | None = access.get("allowed_cidrs")
    return work.tools.conf.default_allowed_cidrs if found is None else found


def let_in(work: Work, source: Instance) -> None:
    """Let the instance of the operation in at its source, if that does not allow its address.

    Nothing else changes there: which networks its owner allows may be about to change, and the
    row tells those only when all is done.
    """
    if source.security_group_id is not None:
        work.tools.clouds.network.add_rules(source.security_group_id, servers.rules(
            work, _outside(_allowed(work, source.access or {}), [servers.load(work)])))


def let_out(work: Work, source: Instance) -> None:
    """Let the instance of the operation in at its source no more, but as others are."""
    allowed = {ipaddress.ip_network(one, strict=False)
               for one in _allowed(work, source.access or {})}
    if source.security_group_id is not None:
        work.tools.clouds.network.remove_rules(source.security_group_id, servers.rules(work, [
            one for one in _networks([servers.load(work)])
            if ipaddress.ip_network(one) not in allowed]))


def close(work: Work) -> None:
    """Let nobody in, whatever the owner allows."""
    group = servers.load(work).security_group_id
    if group is not None:
        servers.open_to(work, group, [])


def _outside(allowed: Sequence[str], replicas: Iterable[Instance]) -> list[str]:
    """Return the addresses of replicas that are in none of some networks."""
    networks = [ipaddress.ip_network(one, strict=False) for one in allowed]
    return [one for one in _networks(replicas)
            if not any(ipaddress.ip_network(one).network_address in network
                       for network in networks)]


def _networks(replicas: Iterable[Instance]) -> list[str]:
    """Return the addresses of instances, each as a network of its own."""
    found = {ipaddress.ip_address(address["address"]) for one in replicas
             for address in one.addresses or ()}
    return [f"{one}/{one.max_prefixlen}" for one in sorted(found, key=str)]


def set_address(work: Work, access: Access) -> None:
    """Give the instance a floating address, or take it away, as ``access`` says."""
    if access.get("is_public"):
        _make(work)
    else:
        drop_address(work)


def make_address(work: Work) -> None:
    """Give a new instance a floating address if it is to be reached from outside."""
    if (servers.load(work).access or {}).get("is_public"):
        _make(work)


def _make(work: Work) -> None:
    instance = servers.load(work)
    if not instance.port_ids:
        raise StepFailed("The instance has no port that could have a public address.")
    port_id = str(instance.port_ids[0])
    network = work.tools.clouds.network
    known = network.find_floating_ips(instance.id)
    found = next((one for one in known if one.port_id == port_id), None)
    if found is None and known:
        found = network.associate_floating_ip(known[0].id, port_id)
    _note(work, found or _create(work, instance, port_id))


def _create(work: Work, instance: Instance, port_id: str) -> FloatingIP:
    network = work.tools.clouds.network
    try:
        return network.create_floating_ip(instance.id, _public_network(work), port_id)
    except CloudConflict:
        # that of an earlier attempt, whose answer was lost
        for one in network.find_floating_ips(instance.id):
            if one.port_id == port_id:
                return one
        raise


def _public_network(work: Work) -> str:
    wanted, network = work.tools.conf.public_network, work.tools.clouds.network
    if wanted:
        return network.network_id(wanted)
    found = network.external_networks()
    if len(found) != 1:
        raise StepFailed(
            f"There are {len(found)} public networks; the operator must name the one to use.")
    return found[0]


def drop_address(work: Work) -> None:
    """Give the floating address back."""
    work.tools.clouds.network.delete_floating_ips(work.resource_id)
    _note(work, None)


def _note(work: Work, floating: FloatingIP | None) -> None:
    """Write which addresses the instance has, if it is known at all."""
    ports = work.tools.clouds.network.find_ports(work.resource_id)
    with work.writer() as session:
        found = instances.get(session, work.resource_id)
        if found is None:
            return
        addresses = servers.addresses(found, ports)
        found.floating_ip_id = None
        if floating is not None:
            found.floating_ip_id = floating.id
            addresses.append({"address": floating.address, "type": "public",
                              "network": floating.network_id})
        found.addresses = addresses
