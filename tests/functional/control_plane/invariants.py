"""What holds whenever nothing is under way, whatever went wrong before.

One checker for all tests: :func:`violations` compares the store with the cloud.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.functional.control_plane.conftest import ControlPlane
from trove_ng.cloud.types import BACKUP_KEY, INSTANCE_KEY, KEPT_KEY, VOLUME_KIND_KEY
from trove_ng.common import notifications
from trove_ng.common.states import BACKUP_RUNNING, BackupState
from trove_ng.conf.cloud import own_region
from trove_ng.db.models import (
    Backup,
    Instance,
    InstanceKey,
    InstanceVolume,
    Notification,
    Operation,
    OperationRecord,
    Reservation,
)
from trove_ng.db.repositories import instances, operations, quotas, volumes
from trove_ng.operations import storage

Document = dict[str, Any]
_KINDS = ("servers", "volumes", "ports", "floating", "placements", "groups")
#: states of backups that may have objects, and need not have all
_KEEP = (BackupState.DELETE_FAILED, BackupState.CORRUPT)
_ENDED = (operations.SUCCEEDED, operations.FAILED, operations.CANCELLED)


class Cloud:
    """What there is in all regions of the minicloud, by the instance it was made for.

    :ivar regions: id of a resource → its region
    :ivar flavors: id → what it has but for its id
    """

    def __init__(self, plane: ControlPlane) -> None:
        own = plane.minicloud.people.named("project", "service")["id"]
        self.regions: dict[str, str] = {}
        self.flavors: dict[str, Document] = {}
        found: dict[str, list[Document]] = {}
        for name, region in plane.minicloud.regions.items():
            for kind in ("server", "volume", "port", "floatingip", "security_group",
                         "security_group_rule", "server_group", "volume_attachment",
                         "snapshot"):
                listed = region.store.list(kind, own if kind == "security_group" else None)
                found.setdefault(kind, []).extend(listed)
                self.regions |= {one["id"]: name for one in listed if "id" in one}
            self.flavors |= {one["id"]: {**one, "id": ""}
                             for one in region.store.list("flavor")}
        self.servers = _by(found["server"], _metadata)
        self.kept = [one for one in found["volume"] if KEPT_KEY in one["metadata"]]
        self.volumes = _by([one for one in found["volume"] if one not in self.kept], _metadata)
        self.snapshots = _by(found["snapshot"],
                             lambda one: str(one["metadata"].get(BACKUP_KEY, "")))
        self.ports = _by(found["port"], lambda one: one["name"][6:].rpartition("-")[0])
        self.groups = _by([one for one in found["security_group"]
                           if one["name"] != "default"], lambda one: one["name"][6:])
        self.floating = _by(found["floatingip"], lambda one: one["description"][6:])
        self.placements = _by(found["server_group"], lambda one: one["name"][6:])
        self.rules = found["security_group_rule"]
        self.attachments = found["volume_attachment"]

    def of(self, instance_id: str) -> dict[str, list[str]]:
        """Return the ids of what an instance has."""
        return {kind: [one["id"] for one in getattr(self, kind).get(instance_id, [])]
                for kind in _KINDS}


def _metadata(found: Document) -> str:
    return str(found["metadata"].get(INSTANCE_KEY, ""))


def _by(found: list[Document], owner: Any) -> dict[str, list[Document]]:
    sorted_: dict[str, list[Document]] = {}
    for one in found:
        sorted_.setdefault(owner(one), []).append(one)
    return sorted_


def violations(plane: ControlPlane) -> list[str]:
    """Return what is wrong, empty when all is well; nothing may be under way."""
    cloud = Cloud(plane)
    with plane.db.reader() as session:
        found = [*_operations(session), *_quotas(session), *_instances(session, cloud),
                 *_orphans(session, cloud), *_keys(session), *_backups(session, plane),
                 *_snapshots(session, cloud),
                 *_elsewhere(session, cloud, own_region(plane.conf)),
                 *(_told(session) if plane.tools.told else ())]
        found += _roles(session, plane)
        found += _names(session, plane.designate.addresses())
    return found + list(_hypervisor(plane, cloud))


def _operations(session: Session) -> Iterator[str]:
    for one in session.scalars(select(Operation)):
        what = f"operation {one.id} ({one.action}, {one.status})"
        if one.status not in _ENDED:
            yield f"{what} is not ended"
            continue
        if one.live_key or one.owner or one.lease_expires_at:
            yield f"{what} has ended and still holds its resource"
        if one.secrets is not None:
            yield f"{what} keeps its secrets"
        # one that another took the place of ended without a reason of its own
        if one.status != operations.CANCELLED and (
                one.status == operations.FAILED) != bool(one.error):
            yield f"{what} has the error {one.error!r}"
        if one.ended_at is None:
            yield f"{what} does not say when it ended"
    for ident in session.scalars(select(OperationRecord.operation_id).distinct()):
        yield f"operation {ident} left records"


def _told(session: Session) -> Iterator[str]:
    """Check what other services are told; nothing was sent yet."""
    rows = session.scalars(select(Notification).order_by(Notification.id)).all()
    starts: Counter[tuple[str, str]] = Counter()
    ends: Counter[tuple[str, str]] = Counter()
    last: dict[str, dict[str, Any]] = {}
    deleted: Counter[str] = Counter()
    for row in rows:
        if row.event_type.startswith("dbaas."):
            name, _, phase = row.event_type.rpartition(".")
            counter = starts if phase == "start" else ends
            counter[name, row.payload["request_id"]] += 1
        else:
            last[row.payload["instance_id"]] = row.payload
            deleted[row.payload["instance_id"]] += row.event_type == notifications.DELETED
    if starts != ends:
        yield f"told as begun {starts - ends}, as ended {ends - starts}"
    if unknown := last.keys() - set(session.scalars(select(Instance.id))):
        yield f"instances {unknown} were told, and do not exist"
    for one in session.scalars(select(Instance).where(Instance.verifies_id.is_(None))):
        if deleted[one.id] != int(one.deleted):
            yield f"instance {one.id} was told as deleted {deleted[one.id]} times"
        told = last.get(one.id)
        if told is None and not (one.error or one.deleted):
            yield f"instance {one.id} was never told"
        size = sum(volume.size or 0 for volume in volumes.of(session, one))
        if told is not None and not one.deleted and (
                told["instance_size"], told["volume_size"]) != (one.flavor_ram, size):
            yield (f"instance {one.id} has {one.flavor_ram} MiB and {size} GB, "
                   f"told was {told['instance_size']} and {told['volume_size']}")


def _quotas(session: Session) -> Iterator[str]:
    for one in session.scalars(select(Reservation).where(Reservation.status == "RESERVED")):
        yield f"operation {one.operation_id} left {one.delta} of {one.resource} reserved"
    for tenant_id in {one for table in (Operation, Instance, Backup)
                      for one in session.scalars(select(table.tenant_id).distinct())}:
        usage = quotas.usage(session, tenant_id)
        for resource, count in quotas.counted(session, tenant_id).items():
            # nothing was ever used of what has no row
            in_use, reserved = usage.get(resource, (0, 0))
            if (in_use, reserved) != (count, 0):
                yield (f"{resource}: {in_use} in use and {reserved} reserved, the rows add up "
                       f"to {count}")


def _instances(session: Session, cloud: Cloud) -> Iterator[str]:
    failed = {one for row in session.execute(select(
        Operation.resource_id, Operation.payload).where(
            Operation.status.in_((operations.FAILED, operations.CANCELLED))))
        for one in (row.resource_id, row.payload.get("source_id"),
                    *row.payload.get("replica_ids", ()))}
    for row in session.scalars(select(Instance)):
        what = f"instance {row.id}"
        if (row.task, row.operation_id) != ("NONE", None):
            yield f"{what} is {row.task} of {row.operation_id}, and nothing is under way"
        if row.error and not {row.id, row.verifies_id} & failed:
            yield f"{what} is in error, and no operation failed"
        has = cloud.of(row.id)
        held = volumes.of(session, row)
        if (row.volume_id, row.volume_size) not in [
                (one.volume_id, one.size) for one in held if one.volume_kind == "data"] and (
                    not row.deleted):
            yield f"the row of {what} has another data volume than its volumes"
        # replicas are in the group of another one
        others = {one["id"] for owner, found in cloud.placements.items() for one in found
                  if owner != row.id}
        # the record of a deleted one still says what it had
        known = {"servers": ([row.compute_instance_id]
                             if row.compute_instance_id and not row.deleted else []),
                 "volumes": [one.volume_id for one in held if one.volume_id],
                 "ports": list(row.port_ids or []),
                 "floating": [row.floating_ip_id] if row.floating_ip_id else [],
                 "placements": [row.server_group_id] if row.server_group_id and (
                     row.server_group_id not in others) else [],
                 "groups": [row.security_group_id] if row.security_group_id else []}
        for kind, ids in has.items():
            # what failed for good may have been taken away half-way
            if Counter(ids) - Counter(known[kind]) or (
                    not row.error and Counter(ids) != Counter(known[kind])):
                yield f"{what} knows the {kind} {known[kind]}, the cloud has {ids}"
        if row.deleted and any(known.values()):
            yield f"{what} is deleted and knows {known}"
        if not row.deleted and not row.error:
            yield from _working(row, held, what, cloud)
            yield from _reached(row, instances.replicas(session, row.id), what, cloud)


def _working(row: Instance, held: list[InstanceVolume], what: str, cloud: Cloud,
             ) -> Iterator[str]:
    """Check an instance that works."""
    servers, found = cloud.servers.get(row.id, []), cloud.volumes.get(row.id, [])
    if len(servers) != 1 or len(found) != len(held):
        yield f"{what} works with {len(servers)} servers and {len(found)} volumes"
        return
    server = servers[0]
    if cloud.flavors.get(server["flavor"]["id"]) != cloud.flavors.get(row.flavor_id):
        yield f"{what} has flavor {row.flavor_id}, its server {server['flavor']['id']}"
    # that of a lost source is off, and known to be
    state = "stopped" if row.server_status == "SHUTOFF" else "active"
    if (server["vm_state"], server["task_state"]) != (state, None):
        yield f"the server of {what} is {server['vm_state']}, {server['task_state']}"
    for known in held:
        volume = next((one for one in found if one["id"] == known.volume_id), None)
        kind = f"the volume {known.volume_kind} of {what}"
        if volume is None or volume["metadata"].get(VOLUME_KIND_KEY) != known.volume_kind:
            yield f"{kind} is {volume}"
            continue
        # one that could not be extended is mended by the next resize
        if (volume["status"] not in ("in-use", "error_extending")
                or volume["size"] < (known.size or 0)):
            yield f"{kind} ({known.size} GB) is {volume['status']} with {volume['size']} GB"
        links = [one["instance_uuid"] for one in cloud.attachments
                 if one["volume_id"] == volume["id"]]
        if links != [server["id"]]:
            yield f"{kind} is attached to {links}"


def _roles(session: Session, plane: ControlPlane) -> Iterator[str]:
    """Check that each set has one source, which alone is written to."""
    agents = {one.instance_id: one for one in plane.hypervisor.agents.values()}
    rows = {row.id: row for row in session.scalars(
        select(Instance).where(Instance.deleted.is_(False)))}
    for row in rows.values():
        agent = agents.get(row.id)
        # one that was lost as it took a place is opened when it is back
        if row.error or agent is None or (row.unopened and row.server_status == "SHUTOFF"):
            continue
        source = rows.get(row.slave_of_id or "")
        follows = agent.follows
        if (source is not None) != agent.read_only:
            yield f"instance {row.id} of {row.slave_of_id}: read only is {agent.read_only}"
        if (source is None) != (follows is None):
            yield f"instance {row.id} of {row.slave_of_id} follows {follows}"
        if source is None or follows is None or source.error or source.id not in agents:
            continue
        if follows.host not in [one["address"] for one in source.addresses]:
            yield f"instance {row.id} follows {follows.host}, its source is {source.addresses}"
        spoken = agents[source.id].tls[-1][1]
        if follows.authority != spoken.authority:
            yield f"instance {row.id} does not follow {source.id} as that speaks: {spoken.mode}"
        if spoken.mode and agent.tls[-1][1].mode != spoken.mode:
            yield f"instance {row.id} speaks as {agent.tls[-1][1].mode}, not as {spoken.mode}"
        if agents[source.id].accounts.get(follows.user) != follows.password.reveal():
            yield f"instance {row.id} has no account at its source"


def _reached(row: Instance, replicas: Iterable[Instance], what: str, cloud: Cloud,
             ) -> Iterator[str]:
    """Check who reaches an instance that works: whom its owner allows, and its replicas."""
    allowed = Counter(one["remote_ip_prefix"] for one in cloud.rules
                      if one["security_group_id"] == row.security_group_id
                      and one["direction"] == "ingress")
    wanted = Counter(row.access["allowed_cidrs"])
    let_in = {f"{one['address']}/32" for replica in replicas for one in replica.addresses or ()}
    if wanted - allowed or (allowed - wanted).keys() - let_in:
        yield f"{what} lets in {sorted(allowed)}, its row says {row.access}"
    public = [one["port_id"] for one in cloud.floating.get(row.id, [])]
    if public != (row.port_ids[:1] if row.access.get("is_public") else []):
        yield f"{what} has public addresses at {public}, its row says {row.access}"
    shown = {one["address"] for one in row.addresses}
    for one in cloud.floating.get(row.id, []):
        if one["floating_ip_address"] not in shown:
            yield f"{what} shows {shown}, not its public address"


def _orphans(session: Session, cloud: Cloud) -> Iterator[str]:
    known = set(session.scalars(select(Instance.id)))
    for kind in _KINDS:
        for owner in getattr(cloud, kind).keys() - known:
            yield f"{kind} belong to {owner!r}, which does not exist"


def _elsewhere(session: Session, cloud: Cloud, own: str) -> Iterator[str]:
    for row in session.scalars(select(Instance)):
        wrong = {cloud.regions[one] for ids in cloud.of(row.id).values() for one in ids
                 } - {row.region_id or own}
        if wrong:
            yield f"instance {row.id} of {row.region_id} has something in {wrong}"


def _keys(session: Session) -> Iterator[str]:
    wanted = set(session.scalars(select(Instance.id).where(
        Instance.compute_instance_id.is_not(None), Instance.deleted.is_(False),
        Instance.error != "DELETE")))
    # of a delete that stopped half-way, and is asked for again
    allowed = wanted | set(session.scalars(select(Instance.id).where(
        Instance.error == "DELETE", Instance.deleted.is_(False))))
    have = set(session.scalars(select(InstanceKey.instance_id)))
    if not wanted <= have <= allowed:
        yield f"keys are missing for {wanted - have} and left of {have - allowed}"


def _names(session: Session, registered: dict[str, str]) -> Iterator[str]:
    known: dict[str, Instance] = {
        str(row.hostname): row for row in session.scalars(
            select(Instance).where(Instance.hostname.is_not(None)))}
    # of a create or delete that stopped half-way, and is asked for again
    half = {one for one in known if known[one].error}
    if set(registered) - set(known) or set(known) - set(registered) - half:
        yield f"the names {set(registered)} are registered, the rows say {set(known)}"
    for name, address in registered.items():
        row = known.get(name)
        if row is not None and not row.error:
            wanted = row.addresses[-1 if row.access.get("is_public") else 0]["address"]
            if address != wanted:
                yield f"{name} leads to {address}, not to {wanted}"


def _backups(session: Session, plane: ControlPlane) -> Iterator[str]:
    for row in session.scalars(select(Backup).where(Backup.storage_driver == "swift")):
        store = plane.minicloud.regions[
            row.region_id or own_region(plane.conf)].swift._store
        what = f"backup {row.id} ({row.state})"
        if row.deleted and row.prefix != storage.prefix(row.id):
            continue  # its objects are another one's
        account, prefix = f"AUTH_{row.tenant_id}", str(row.prefix)
        names = {one.name for one in store.objects(
            account, str(row.container), prefix.rstrip("/"))}
        if not row.deleted and (row.state in BACKUP_RUNNING or row.state == (
                BackupState.DELETING)):
            yield f"{what} is under way, and nothing works on it"
        elif not row.deleted and row.state == BackupState.COMPLETED:
            parts = {one["name"] for one in (row.manifest or {}).get("segments", [])}
            if names != parts | {f"{prefix.rstrip('/')}{end}" for end in (
                    ".manifest", ".json")}:
                yield f"{what} consists of {names}"
        elif names and row.state not in _KEEP and row.prefix == storage.prefix(row.id):
            yield f"{what} left {names}"


def _snapshots(session: Session, cloud: Cloud) -> Iterator[str]:
    known: set[str] = set()
    for row in session.scalars(select(Backup).where(Backup.storage_driver == "cinder")):
        what, found = f"backup {row.id} ({row.state})", cloud.snapshots.get(row.id, [])
        known.add(row.id)
        if not row.deleted and (row.state in BACKUP_RUNNING or row.state == (
                BackupState.DELETING)):
            yield f"{what} is under way, and nothing works on it"
        elif not row.deleted and row.state == BackupState.COMPLETED:
            if [f"cinder://{one['id']}" for one in found] != [row.location]:
                yield f"{what} is at {row.location}, the cloud has {found}"
            elif found[0]["status"] != "available":
                yield f"{what} is {found[0]['status']}"
        elif found and row.state not in _KEEP:
            yield f"{what} left {found}"
    if left := cloud.snapshots.keys() - known:
        yield f"snapshots of {left}, which do not exist"
    needed = {one["volume_id"] for found in cloud.snapshots.values() for one in found}
    for volume in cloud.kept:
        if volume["id"] not in needed:
            yield f"volume {volume['id']} is kept for nothing"
        if volume["metadata"][KEPT_KEY] in set(session.scalars(
                select(Instance.id).where(Instance.deleted.is_(False)))):
            yield f"volume {volume['id']} was taken from an instance that is there"


def _hypervisor(plane: ControlPlane, cloud: Cloud) -> Iterator[str]:
    servers = {one["id"] for found in cloud.servers.values() for one in found}
    volumes = {one["id"] for found in (*cloud.volumes.values(), cloud.kept) for one in found}
    snapshots = {one["id"] for found in cloud.snapshots.values() for one in found}
    if set(plane.hypervisor.snapshots) != snapshots:
        yield (f"snapshots {snapshots ^ set(plane.hypervisor.snapshots)} are not where they "
               "should be")
    if set(plane.hypervisor.servers) != servers:
        yield f"servers {servers ^ set(plane.hypervisor.servers)} are not where they should be"
    if set(plane.hypervisor.volumes) != volumes:
        yield f"volumes {volumes ^ set(plane.hypervisor.volumes)} are not where they should be"
