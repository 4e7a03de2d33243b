"""Pure functions from facts of the store and the cloud to findings."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
from collections.abc import Collection, Iterator, Mapping

from trove_ng.cloud.types import (
    FloatingIP,
    Port,
    SecurityGroup,
    Server,
    ServerGroup,
    Snapshot,
    Volume,
)
from trove_ng.common.states import ServiceStatus
from trove_ng.db.repositories.reconciliation import Facts
from trove_ng.domain.instance_status import NOT_MADE
from trove_ng.operations.reconcile.findings import Finding, Kind, Repair

Resource = Server | Volume | FloatingIP | Port | SecurityGroup | ServerGroup

#: in the order in which they are deleted
KINDS = ("server", "volume", "floating_ip", "port", "security_group", "server_group")
FAILED_DELETE = "DELETE"
FAILED_RECOVERY = "RECOVER"
#: status that is noted of a server that is not there
GONE = "DELETED"
#: a server waits for a decision that the run-book of the resize makes
UNDECIDED = "VERIFY_RESIZE"


@dataclasses.dataclass(frozen=True)
class Cloud:
    """All that the service's project has in a region of the cloud, by kind and id.

    :param unknown: ids that are not in the lists, and of which nobody said that they are gone
    """

    found: Mapping[str, Mapping[str, Resource]]
    region: str = ""
    snapshots: Mapping[str, Snapshot] = dataclasses.field(default_factory=dict)
    unknown: Collection[str] = ()

    def servers(self) -> Mapping[str, Server]:
        """Return the servers by id."""
        return {ident: one for ident, one in self.found["server"].items()
                if isinstance(one, Server)}


@dataclasses.dataclass(frozen=True)
class When:
    """The times that judgements depend on.

    :param begun: when the comparison began; what was worked on since is not judged
    :param settled: what was worked on since is not judged by what it has in the cloud
    :param heard: an older heartbeat says nothing any more
    :param tries: how often a recovery is tried
    :param pause: between the first two tries; it doubles with each
    """

    begun: datetime.datetime
    settled: datetime.datetime
    heard: datetime.datetime
    tries: int
    pause: datetime.timedelta


def own(row: Facts, kind: str) -> list[str]:
    """Return the ids of one kind of resource that an instance's row names."""
    if kind == "port":
        return [str(one) for one in row.port_ids or []]
    if kind == "volume":
        return [volume.id for volume in row.volumes]
    found = {"server": row.compute_instance_id, "floating_ip": row.floating_ip_id,
             "security_group": row.security_group_id,
             "server_group": row.server_group_id}[kind]
    return [found] if found else []


def is_idle(row: Facts, since: datetime.datetime) -> bool:
    """Return whether nothing works on an instance, or did since a time."""
    return bool(row.task == "NONE" and not row.live
                and (row.worked_at is None or row.worked_at < since))


def _going(resource: Resource) -> bool:
    """Return whether a resource is being deleted already."""
    if isinstance(resource, Server):
        return resource.task_state == "deleting" or resource.status == GONE
    return isinstance(resource, Volume) and resource.status == "deleting"


def judge(kind: str, resource: Resource, row: Facts | None, cloud: Cloud, when: When,
          ) -> Finding | None:
    """Return what is wrong with the owner of a resource that was made for an instance.

    :param row: of the instance that the resource names, None if there is none
    """
    owner = resource.instance_id
    if _going(resource):
        return None
    if row is None:
        return Finding(
            Kind.UNKNOWN_INSTANCE, f"The {kind} was made for an instance that this store does "
            "not know.", owner, None, kind, resource.id)
    if row.deleted:
        if row.live or row.deleted_at is None or row.deleted_at >= when.settled:
            return None
        return _leftover(kind, resource, row, "The instance is deleted")
    if not is_idle(row, when.settled) or row.error == FAILED_DELETE:
        return None
    if row.error == NOT_MADE:
        return _leftover(kind, resource, row, "The instance could not be created")
    if resource.id in own(row, kind):
        return None
    return Finding(
        Kind.DUPLICATE, f"The instance has another {kind} than the one it uses.", row.id,
        row.tenant_id, kind, resource.id,
        Repair.DELETE if _superfluous(kind, resource, row, cloud) else None,
        before=",".join(own(row, kind)) or None)


def _leftover(kind: str, resource: Resource, row: Facts, why: str) -> Finding:
    return Finding(Kind.LEFTOVER, f"{why}, its {kind} was left behind.", row.id, row.tenant_id,
                   kind, resource.id, Repair.DELETE)


def _superfluous(kind: str, resource: Resource, row: Facts, cloud: Cloud) -> bool:
    """Return whether a second resource can hold nothing that the instance uses.

    The instance's own must be there, at its place, and the second one must not be part
    of the instance's server.
    """
    mine = own(row, kind)
    if isinstance(resource, FloatingIP | ServerGroup) and not mine:
        return True  # the instance is not to have one
    if not mine or any(one not in cloud.found[kind] for one in mine):
        return False
    if isinstance(resource, Volume):
        # a spare one of a kind that the instance does have
        has = [cloud.found[kind][one] for one in mine]
        return (resource.attached_to is None and resource.status != "attaching"
                and resource.kind in [one.kind for one in has if isinstance(one, Volume)]
                and all(isinstance(one, Volume) and one.attached_to is not None
                        and one.attached_to == str(row.compute_instance_id) for one in has))
    if isinstance(resource, Port):
        return resource.device_id != str(row.compute_instance_id)
    if isinstance(resource, FloatingIP):
        return resource.port_id not in own(row, "port")
    return True


def owners(rows: Mapping[str, Facts], cloud: Cloud, when: When) -> Iterator[Finding]:
    """Give what is wrong with owners of resources, in the order of their deletion."""
    # one of a server group is named in it, all of its instances use it
    used = {row.server_group_id for row in rows.values() if not row.deleted}
    for kind in KINDS:
        for resource in cloud.found[kind].values():
            if isinstance(resource, ServerGroup) and resource.id in used:
                continue
            if resource.instance_id is not None:
                finding = judge(kind, resource, rows.get(resource.instance_id), cloud, when)
                if finding is not None:
                    yield finding


def instances(rows: Mapping[str, Facts], cloud: Cloud, when: When,
              gone: Collection[str] = ()) -> Iterator[Finding]:
    """Give what is wrong with what existing instances consist of.

    :param gone: addresses that deleted replicas had
    """
    strangers = _strangers(rows, when, gone)
    for row in rows.values():
        if row.deleted or row.error in (NOT_MADE, FAILED_DELETE):
            continue
        server = cloud.servers().get(row.compute_instance_id or "")
        if is_idle(row, when.begun):
            if row.compute_instance_id not in cloud.unknown:
                yield from _status(row, server, when)
            if row.has_key and row.heartbeat is not None and row.heartbeat < when.heard:
                yield _about(row, Kind.HEARTBEAT_OLD, "The agent is not heard of any more.",
                             "agent", before=row.heartbeat.isoformat())
        if is_idle(row, when.settled):
            yield from _missing(row, cloud)
            yield from _floating(row, cloud)
            yield from _let_in(row, cloud, strangers)
            if server is not None:
                yield from _agent(row, server, when)
                yield from _volumes(row, cloud, server)
                yield from _ports(row, cloud, server)


def _about(row: Facts, kind: Kind, what: str, resource: str, resource_id: str = "",
           repair: Repair | None = None, before: str | None = None,
           after: str | None = None) -> Finding:
    return Finding(kind, what, row.id, row.tenant_id, resource, resource_id, repair, before,
                   after)


def _status(row: Facts, server: Server | None, when: When) -> Iterator[Finding]:
    if row.compute_instance_id is None:
        return
    status = server.status if server is not None else GONE
    if status != row.server_status:
        yield _about(row, Kind.SERVER_STATUS, "The server has another status than is shown.",
                     "server", row.compute_instance_id, Repair.NOTE_STATUS,
                     row.server_status, status)
    if server is not None and server.host and server.host != row.server_host:
        yield _about(row, Kind.SERVER_HOST, "The server is on another machine than is shown.",
                     "server", server.id, Repair.NOTE_HOST, row.server_host, server.host)
    if server is not None and status != "ACTIVE" and not server.task_state:
        yield _about(row, Kind.SERVER_NOT_ACTIVE, f"The server is {status}.", "server",
                     server.id,
                     # a request for it may arrive after its operation was given up
                     Repair.SETTLE_RESIZE if status == UNDECIDED
                     and is_idle(row, when.settled) else None, "ACTIVE", status)


def _agent(row: Facts, server: Server, when: When) -> Iterator[Finding]:
    if server.status != "ACTIVE" or server.task_state:
        return
    due = is_recovery_due(row, when)
    if due or (row.error == FAILED_RECOVERY and row.recoveries >= when.tries):
        yield _about(row, Kind.AGENT_NEW, "The root disk of the server was replaced, and the "
                     "database was not started.", "server", server.id,
                     Repair.RECOVER if due and row.volumes else None)


def is_recovery_due(row: Facts, when: When) -> bool:
    """Return whether the agent of an instance that worked knows nothing of it.

    Also, whether what was done about it failed, and is to be tried again now.
    """
    if row.heartbeat is None or row.heartbeat < when.heard:
        return False
    if row.error != FAILED_RECOVERY:
        return row.agent_status == ServiceStatus.NEW and not row.error
    pause = when.pause * 2 ** (max(row.recoveries, 1) - 1)
    return row.recoveries < when.tries and (
        row.worked_at is None or row.worked_at <= when.begun - pause)


def _missing(row: Facts, cloud: Cloud) -> Iterator[Finding]:
    for kind in KINDS:
        for ident in own(row, kind):
            if ident not in cloud.found[kind] and ident not in cloud.unknown:
                yield _about(row, Kind.MISSING, f"The {kind.replace('_', ' ')} of the instance "
                             "is gone.", kind, ident)


def _volumes(row: Facts, cloud: Cloud, server: Server) -> Iterator[Finding]:
    for known in row.volumes:
        volume = cloud.found["volume"].get(known.id)
        if isinstance(volume, Volume):
            yield from _volume(row, known.size, volume, server)


def _volume(row: Facts, size: int | None, volume: Volume, server: Server,
            ) -> Iterator[Finding]:
    if volume.attached_to is None:
        yield _about(row, Kind.VOLUME_DETACHED, "The volume is not attached.", "volume",
                     volume.id, before=server.id, after=volume.status)
    elif volume.attached_to != server.id:
        yield _about(row, Kind.VOLUME_ELSEWHERE, "The volume is attached to another server.",
                     "volume", volume.id, before=server.id, after=volume.attached_to)
    if volume.size_gb != size:
        yield _about(row, Kind.VOLUME_SIZE, f"The volume has {volume.size_gb} GB, not "
                     f"{size} GB.", "volume", volume.id,
                     before=str(size), after=str(volume.size_gb))


def _floating(row: Facts, cloud: Cloud) -> Iterator[Finding]:
    floating = cloud.found["floating_ip"].get(row.floating_ip_id or "")
    if isinstance(floating, FloatingIP) and floating.port_id not in own(row, "port"):
        yield _about(row, Kind.FLOATING_IP_ELSEWHERE, f"The public address {floating.address} "
                     "is not given to the instance.", "floating_ip", floating.id,
                     before=",".join(own(row, "port")), after=floating.port_id)


def _strangers(rows: Mapping[str, Facts], when: When, gone: Collection[str],
               ) -> dict[str, set[str | None]]:
    """Return the addresses of instances → the sources that those have, which may be several.

    Those on which something is done are not judged.
    """
    found: dict[str, set[str | None]] = {one: {None} for one in gone}
    busy = set()
    for row in rows.values():
        for one in row.addresses or ():
            address = str(one["address"])
            found.setdefault(address, set()).add(row.slave_of_id)
            if not is_idle(row, when.settled):
                busy.add(address)
    return {address: sources for address, sources in found.items() if address not in busy}


def _let_in(row: Facts, cloud: Cloud, strangers: Mapping[str, Collection[str | None]],
            ) -> Iterator[Finding]:
    """Give who is let in as a replica is, and is none; what operators let in is theirs."""
    group, allowed = cloud.found["security_group"].get(row.security_group_id or ""), (
        row.access or {}).get("allowed_cidrs")
    if not isinstance(group, SecurityGroup) or allowed is None:
        return
    wanted = {ipaddress.ip_network(one, strict=False) for one in allowed}
    found = sorted(
        str(one) for one in map(ipaddress.ip_network, group.networks)
        if one.prefixlen == one.max_prefixlen and one not in wanted
        and row.id not in strangers.get(str(one.network_address), (row.id,)))
    if found:
        yield _about(row, Kind.LETS_IN, f"{', '.join(found)} is let in, and is no replica of the "
                     "instance.", "security_group", group.id, Repair.LET_OUT,
                     after=",".join(found))


def _ports(row: Facts, cloud: Cloud, server: Server) -> Iterator[Finding]:
    for ident in own(row, "port"):
        port = cloud.found["port"].get(ident)
        if not isinstance(port, Port):
            continue
        if port.device_id != server.id:
            yield _about(row, Kind.PORT_ELSEWHERE, "A port is not plugged into the server.",
                         "port", ident, before=server.id, after=port.device_id or None)
        elif port.status == "DOWN" and server.status == "ACTIVE":
            yield _about(row, Kind.PORT_DOWN, "A port of the server is down.", "port", ident,
                         after=port.status)
