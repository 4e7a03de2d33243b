"""Making and removing what an instance consists of in the cloud.

All functions may be repeated: what carries the instance's id is found first.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from trove_ng.cloud.errors import CloudConflict, CloudError
from trove_ng.cloud.neutron import Rule
from trove_ng.cloud.types import Image, Port, Server
from trove_ng.common.secret import Secret
from trove_ng.db.models import Datastore, DatastoreVersion, Instance
from trove_ng.db.repositories import datastores, instance_keys, instances
from trove_ng.domain.regions import NotEquivalent
from trove_ng.operations import there, user_data
from trove_ng.operations.removal import saying_why
from trove_ng.operations.work import StepFailed, Work

LOG = logging.getLogger(__name__)


#: statuses of a server that nothing is done with
AT_REST = ("ACTIVE", "SHUTOFF")


def load(work: Work) -> Instance:
    """Return the instance of the operation, detached.

    :raises StepFailed: it is gone
    """
    with work.reader() as session:
        found = instances.get(session, work.resource_id)
    if found is None:
        raise StepFailed("The instance is gone.")
    return found


def load_version(work: Work, instance: Instance) -> tuple[DatastoreVersion, Datastore]:
    """Return the datastore version of an instance."""
    with work.reader() as session:
        found = datastores.get_version(session, instance.datastore_version_id)
    if found is None:
        raise StepFailed("The datastore version of the instance is gone.")
    return found


def make_security_group(work: Work) -> None:
    """Make the security group that lets the allowed addresses in."""
    instance = load(work)
    network = work.tools.clouds.network
    known = network.find_security_groups(instance.id)
    group = known[0] if known else network.create_security_group(
        instance.id, f"Database instance {instance.id}")
    allowed = (instance.access or {}).get("allowed_cidrs")
    if allowed is None:
        allowed = list(work.tools.conf.default_allowed_cidrs)
    open_to(work, group.id, allowed)
    with work.writer() as session:
        found = row(work, session)
        found.security_group_id = group.id
        # what holds is shown, and stays when the default changes
        found.access = {**(found.access or {}), "allowed_cidrs": allowed}


def open_to(work: Work, group_id: str, allowed: Sequence[str]) -> None:
    """Make a security group let in exactly some networks, to the database."""
    work.tools.clouds.network.ensure_rules(group_id, rules(work, allowed))


def rules(work: Work, allowed: Sequence[str]) -> list[Rule]:
    """Return the rules that let some networks in, to the database."""
    version, _ = load_version(work, load(work))
    ports = work.tools.datastores[version.manager].ports
    return [(protocol, low, high, cidr) for protocol, low, high in ports for cidr in allowed]


def row(work: Work, session: Session) -> Instance:
    """Return the instance of the operation, to be changed.

    :raises StepFailed: it is gone
    """
    found = instances.get(session, work.resource_id)
    if found is None:
        raise StepFailed("The instance is gone.")
    return found


def forget(work: Work, **values: object) -> None:
    """Write that something of the instance is no more, if the instance is known at all."""
    with work.writer() as session:
        found = instances.get(session, work.resource_id)
        for name, value in values.items() if found is not None else ():
            setattr(found, name, value)


def drop_security_group(work: Work) -> None:
    """Delete the security group."""
    network = work.tools.clouds.network
    refused: dict[str, str] = {}

    def gone() -> bool | None:
        found = network.find_security_groups(work.resource_id)
        for group in found:
            try:
                network.delete_security_group(group.id)
            except CloudConflict as err:
                refused[group.id] = err.message  # a port that goes away may still use it
        return None if found else True

    with saying_why(refused):
        work.wait("the security group to be deleted", gone, work.tools.conf.server_timeout)
    forget(work, security_group_id=None)


def make_ports(work: Work) -> None:
    """Make the ports of the networks that the request named, or of the default one."""
    instance = load(work)
    conf, network = work.tools.conf, work.tools.clouds.network
    wanted = [dict(nic) for nic in instance.nics or []]
    if not wanted:
        default = (network.network_id(conf.default_network) if conf.default_network
                   else network.default_network())
        if default is None:
            raise StepFailed("No network is given, and there is no default network.")
        wanted = [{"network_id": default}]
    wanted += [{"network_id": network.network_id(one)} for one in conf.management_networks]
    known = {port.name: port for port in network.find_ports(instance.id)}
    made: list[Port] = []
    for index, nic in enumerate(wanted):
        found = known.get(f"trove-{instance.id}-{index}")
        made.append(found or network.create_port(
            instance_id=instance.id, index=index,
            network_id=nic.get("network_id") or nic.get("net-id") or "",
            subnet_id=nic.get("subnet_id") or nic.get("subnet-id"),
            fixed_ip=nic.get("ip_address") or nic.get("ip-address") or nic.get("v4-fixed-ip"),
            security_group_ids=[instance.security_group_id]
            if instance.security_group_id else []))
    with work.writer() as session:
        found_row = row(work, session)
        found_row.port_ids = [port.id for port in made]
        found_row.addresses = addresses(found_row, made)


def addresses(instance: Instance, ports: Sequence[Port]) -> list[dict[str, str]]:
    """Return the addresses of an instance's own ports; those of the service come last."""
    return [{"address": port.ip_address, "type": _address_type(port.ip_address),
             "network": port.network_id}
            for port in ports[:max(1, len(instance.nics or []))] if port.ip_address]


def _address_type(address: str) -> str:
    return "private" if ipaddress.ip_address(address).is_private else "public"


def drop_ports(work: Work) -> None:
    """Delete the ports."""
    network = work.tools.clouds.network

    def gone() -> bool | None:
        found = network.find_ports(work.resource_id)
        for port in found:
            # its server may still go away
            with contextlib.suppress(CloudConflict):
                network.delete_port(port.id)
        return None if found else True

    work.wait("the ports to be deleted", gone, work.tools.conf.server_timeout)
    forget(work, port_ids=[])


def make_key(work: Work) -> None:
    """Make the key that the agent and the control plane share."""
    with work.writer() as session:
        instance_keys.create(session, work.tools.key_box, work.resource_id)


def drop_key(work: Work) -> None:
    """Forget the agent's key."""
    with work.writer() as session:
        instance_keys.delete(session, work.resource_id)


def make_server(work: Work, ephemeral: Sequence[tuple[int, str]] = ()) -> None:
    """Make the server and wait until it runs.

    :param ephemeral: GB and file system of disks beside the root disk
    """
    instance = load(work)
    compute = work.tools.clouds.compute
    server = compute.find_server(instance.id)
    if server is None:
        version, _ = load_version(work, instance)
        server = compute.create_server(
            instance_id=instance.id, name=instance.name, image_id=image(work, version),
            flavor_id=_flavor(work, instance.flavor_id),
            port_ids=list(instance.port_ids or []),
            user_data=make_user_data(work, instance, version),
            availability_zone=instance.availability_zone,
            server_group_id=instance.server_group_id,
            config_drive=work.tools.conf.use_config_drive,
            metadata={"trove_project_id": instance.tenant_id}, ephemeral=ephemeral)
    with work.writer() as session:
        row(work, session).compute_instance_id = server.id
    note_server(work, wait_for_server(work, server.id, "ACTIVE"))


def existing(work: Work) -> Server:
    """Return the server of the operation's instance.

    :raises StepFailed: it is gone
    """
    instance = load(work)
    found = (work.tools.clouds.compute.get_server(instance.compute_instance_id)
             if instance.compute_instance_id else None)
    if found is None:
        raise StepFailed("The server is gone.")
    return found


def image(work: Work, version: DatastoreVersion) -> str:
    """Return the id of a version's image in the region of the instance.

    :raises StepFailed: there is none
    """
    clouds = work.tools.clouds
    home = clouds.in_region(None)
    found: Image | None = None
    if version.image_id:
        found = home.images.get_image(version.image_id)
    elif tags := datastores.image_tags(version):
        found = home.images.find_image(tags)
    if found is None:
        raise StepFailed("There is no image for this datastore version.")
    try:
        return there.image_id(clouds, found)
    except NotEquivalent as err:
        raise StepFailed(err.message) from None


def _flavor(work: Work, flavor_id: str) -> str:
    """Return the id of a flavor in the region of the instance."""
    try:
        return there.flavor_id(work.tools.clouds, flavor_id)
    except NotEquivalent as err:
        raise StepFailed(err.message) from None


def make_user_data(work: Work, instance: Instance, version: DatastoreVersion) -> str:
    """Return what the server's first boot from a disk needs: a secret, since it has the key."""
    conf = work.tools.conf
    with work.reader() as session:
        key = instance_keys.read(session, work.tools.key_box, instance.id)
    if key is None:
        raise StepFailed("The instance has no key for its agent.")
    try:
        agent = Path(conf.guest_config).read_text()
    except OSError as err:
        LOG.error("guest_config: %s", err)
        raise StepFailed("The agent's configuration cannot be read.") from None
    template = Path(conf.cloudinit_location, f"{version.manager}.cloudinit")
    return user_data.build({
        f"{conf.guest_config_dir}/trove-guestagent.conf": agent,
        f"{conf.guest_config_dir}/guest_info.conf": user_data.guest_info(
            instance_id=instance.id, name=instance.name, manager=version.manager,
            tenant_id=instance.tenant_id, key=Secret(key)),
    }, template.read_text() if template.is_file() else None)


def wait_for_server(work: Work, server_id: str, *statuses: str,
                    seconds: float | None = None) -> Server:
    """Return the server when it has one of the statuses.

    :param seconds: how long that may take, by default as long as the cloud may take
    :raises StepFailed: it is gone, failed, or takes too long
    """
    compute = work.tools.clouds.compute

    def ready() -> Server | None:
        found = compute.get_server(server_id)
        if found is None:
            raise StepFailed("The server is gone.")
        if found.status == "ERROR" and "ERROR" not in statuses:
            raise StepFailed(found.fault or "The server failed.")
        return found if found.status in statuses and not found.task_state else None

    return work.wait("the server", ready, work.tools.conf.server_timeout
                     if seconds is None else seconds)


def note(work: Work, **values: object) -> None:
    """Write columns of the instance."""
    with work.writer() as session:
        found = row(work, session)
        for name, value in values.items():
            setattr(found, name, value)


def note_server(work: Work, server: Server) -> None:
    """Write the server's status to the instance."""
    with work.writer() as session:
        found = row(work, session)
        found.server_status = server.status
        found.server_host = server.host
        found.server_status_at = work.tools.clock.now()


def drop_server(work: Work) -> None:
    """Delete the server of an instance that stays."""
    delete_server(work)
    forget(work, compute_instance_id=None)


def delete_server(work: Work) -> None:
    """Delete the server, and others that a lost answer left behind; its id stays known."""
    compute = work.tools.clouds.compute
    asked: set[str] = set()
    refused: dict[str, str] = {}

    def gone() -> bool | None:
        found = compute.find_servers(work.resource_id)
        for server in found:
            # an earlier request may be lost, whatever the server says
            if server.task_state != "deleting" or server.id not in asked:
                try:
                    compute.delete_server(server.id)
                    asked.add(server.id)
                    refused.pop(server.id, None)
                except CloudError as err:
                    refused[server.id] = err.message
                    LOG.warning("server %s is not deleted yet: %s", server.id, err.message)
        return None if found else True

    with saying_why(refused):
        work.wait("the server to be deleted", gone, work.tools.conf.server_timeout)
