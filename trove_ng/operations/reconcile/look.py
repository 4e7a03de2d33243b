"""Reading the cloud and the store, and comparing them."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from oslo_config import cfg

from trove_ng.cloud.errors import CloudError
from trove_ng.common.clock import Clock
from trove_ng.db.repositories import quotas, reconciliation
from trove_ng.db.rows import AnyRow
from trove_ng.db.session import Database
from trove_ng.operations.reconcile import compare, names, snapshots
from trove_ng.operations.reconcile.findings import Finding, Kind, Repair

if TYPE_CHECKING:
    from trove_ng.cloud.session import Clouds

LOG = logging.getLogger(__name__)

#: servers and volumes that are in no list and are asked for, in a region at a time
_ASKED = 100
#: seconds that an operation may wait for a taskmanager before it is told
_WAIT = 60.0
_DAY = 86400.0
#: a region may be given up some time after its last instance
_LATELY = datetime.timedelta(days=30)


class Parts(Protocol):
    """What a comparison works with."""

    @property
    def conf(self) -> cfg.ConfigOpts:
        """With the options of conf.base and conf.taskmanager."""

    @property
    def db(self) -> Database:
        """The store."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def clouds(self) -> Clouds:
        """The services of the cloud."""

    @property
    def told(self) -> bool:
        """Whether other services are told of what is done."""


def when(parts: Parts) -> compare.When:
    """Return the times that a comparison that begins now depends on."""
    now = parts.clock.now()
    return compare.When(
        begun=now, settled=now - datetime.timedelta(seconds=parts.conf.orphan_age),
        heard=now - datetime.timedelta(seconds=parts.conf.agent_heartbeat_expiry),
        tries=parts.conf.recover_tries,
        pause=datetime.timedelta(seconds=parts.conf.recover_interval))


def regions(parts: Parts) -> list[str]:
    """Return the configured region, and all others that instances are in, or were lately."""
    own, since = parts.clouds.region, parts.clock.now() - _LATELY
    with parts.db.reader() as session:
        return [own, *sorted(reconciliation.regions(session, since) - {own})]


def read_cloud(parts: Parts, region: str) -> compare.Cloud:
    """Return what a region has: seven lists, whatever the number of instances.

    :raises trove_ng.cloud.errors.CloudError: a service does not answer
    """
    clouds = parts.clouds.in_region(region)
    return compare.Cloud({
        "server": {one.id: one for one in clouds.compute.list_servers()},
        "volume": {one.id: one for one in clouds.volume.list_volumes()},
        "floating_ip": {one.id: one for one in clouds.network.list_floating_ips()},
        "port": {one.id: one for one in clouds.network.list_ports()},
        "server_group": {one.id: one for one in clouds.compute.list_server_groups()},
        "security_group": {one.id: one for one in clouds.network.list_security_groups()}},
        region, {one.id: one for one in clouds.volume.list_snapshots()})


def ask_again(parts: Parts, cloud: compare.Cloud,
              rows: Mapping[str, reconciliation.Facts]) -> compare.Cloud:
    """Ask for the servers and volumes of instances that are not in the lists.

    A list may lack what is in a part of the cloud that is away, and says nothing of that.
    """
    clouds = parts.clouds.in_region(cloud.region)
    ask: dict[str, Callable[[str], compare.Resource | None]] = {
        "server": clouds.compute.get_server, "volume": clouds.volume.get_volume}
    lacking = [(kind, ident) for row in rows.values() if not row.deleted for kind in ask
               for ident in compare.own(row, kind) if ident not in cloud.found[kind]
               # that was found out before
               and (kind != "server" or row.server_status != compare.GONE)]
    asked = random.sample(lacking, min(len(lacking), _ASKED))
    unknown = {ident for _, ident in lacking}
    found = {kind: dict(there) for kind, there in cloud.found.items()}
    try:
        for kind, ident in asked:
            one = ask[kind](ident)
            if one is not None:
                found[kind][ident] = one
            unknown.discard(ident)
    except CloudError as err:
        LOG.warning("region %s: it is not known whether %d servers and volumes are gone that are "
                    "in no list: %s", cloud.region, len(unknown), err.message)
    return dataclasses.replace(cloud, found=found, unknown=unknown)


def read_backups(parts: Parts, cloud: compare.Cloud,
                 ) -> tuple[dict[str, AnyRow], dict[str, AnyRow]]:
    """Return the region's backups that are snapshots, and also those that snapshots name."""
    named = {one.backup_id for one in cloud.snapshots.values() if one.backup_id is not None}
    with parts.db.reader() as session:
        rows = reconciliation.snapshots(
            session, cloud.region, unnamed=cloud.region == parts.clouds.region)
        return rows, rows | reconciliation.backups_of(session, named - set(rows))


def read_rows(parts: Parts, cloud: compare.Cloud,
              ) -> tuple[dict[str, reconciliation.Facts], dict[str, reconciliation.Facts]]:
    """Return the region's existing instances, and also those that its resources name."""
    named = {one.instance_id for found in cloud.found.values() for one in found.values()
             if one.instance_id is not None}
    with parts.db.reader() as session:
        rows = reconciliation.existing(
            session, cloud.region, unnamed=cloud.region == parts.clouds.region)
        return rows, rows | reconciliation.of(session, named - set(rows))


def read_gone(parts: Parts, times: compare.When) -> set[str]:
    """Return the addresses that replicas had that were deleted lately."""
    with parts.db.reader() as session:
        return reconciliation.addresses_of_deleted(
            session, times.begun - _LATELY, times.settled)


def look(parts: Parts, region: str) -> tuple[compare.Cloud, list[Finding]]:
    """Return what a region has, and all that is wrong with it.

    The cloud is read first: an operation that changed something since has ended, or runs,
    when the store is read, and its instance is left alone.

    :raises trove_ng.cloud.errors.CloudError: a service does not answer
    """
    times = when(parts)
    cloud = read_cloud(parts, region)
    # what instances of other regions have is not here
    here, named = read_rows(parts, cloud)
    cloud = ask_again(parts, cloud, here)
    found = [*compare.owners(named, cloud, times), *compare.instances(
                 here, cloud, times, read_gone(parts, times)),
             *snapshots.look(*read_backups(parts, cloud), cloud, times)]
    return cloud, [dataclasses.replace(one, region=region) for one in found]


def look_at_names(parts: Parts) -> list[Finding]:
    """Return what is wrong with the names of instances, of all regions.

    :raises trove_ng.cloud.errors.CloudError: the DNS service does not answer
    """
    return names.look(parts, when(parts))


def look_at_store(parts: Parts) -> list[Finding]:
    """Return what is wrong within the store."""
    before = parts.clock.now() - datetime.timedelta(seconds=_WAIT)
    with parts.db.reader() as session:
        found = [*_tasks(reconciliation.stuck_instances(session),
                         reconciliation.stuck_backups(session))]
        count, oldest = reconciliation.waiting(session, before)
        found += [Finding(
            Kind.KEY_WITHOUT_INSTANCE, "The key of a deleted instance is still there.", row.id,
            row.tenant_id, "key", "", Repair.DELETE_KEY)
            for row in reconciliation.keys_of_deleted(session)]
        found += [Finding(
            Kind.LEFTOVER, "A backup was checked in this instance, which was left behind.",
            row.id, row.tenant_id, "instance", row.id, Repair.DELETE_INSTANCE)
            for row in reconciliation.left_of_verifications(session)]
        found += [Finding(
            Kind.NOT_DELETED, f"The {row.kind} could not be deleted; it is tried again.",
            row.instance_id, row.tenant_id, row.kind, row.id, Repair.DELETE_AGAIN)
            for row in reconciliation.undeleted(session) if is_delete_due(parts, row)]
        found += [Finding(
            Kind.ACCOUNTS_LEFT, "Accounts of replicas that are gone may be left.", row.id,
            row.tenant_id, "instance", row.id, Repair.DROP_ACCOUNTS)
            for row in reconciliation.with_accounts_left(session, when(parts).heard)]
        found += [Finding(
            Kind.SOURCE_CLOSED, "Clients cannot write to the new source of a set.", row.id,
            row.tenant_id, "instance", row.id, Repair.OPEN_SOURCE)
            for row in reconciliation.unopened(session, when(parts).heard)]
        for tenant_id, wrong in quotas.differences(session).items():
            found += [Finding(
                Kind.QUOTA_USAGE, f"{used} {name} are in use by the records, {counted} are "
                "there.", None, tenant_id, name, "", Repair.RECOUNT, str(used), str(counted))
                for name, (used, counted) in wrong.items()]
    if count:
        found.append(Finding(
            Kind.OPERATIONS_WAIT, f"No taskmanager works on {count} operations.", None, None,
            "operation", oldest or "", after=str(count)))
    return found


def is_delete_due(parts: Parts, row: AnyRow) -> bool:
    """Return whether what could not be deleted is to be deleted again now.

    :param row: see :func:`trove_ng.db.repositories.reconciliation.undeleted`
    """
    pause = min(parts.conf.delete_again_interval * 2 ** min(max(row.failures, 1) - 1, 20),
                _DAY)
    return bool(row.failed_at is None or row.failed_at <= (
        parts.clock.now() - datetime.timedelta(seconds=pause)))


def _tasks(instances: Sequence[AnyRow], backups: Sequence[AnyRow]) -> Iterator[Finding]:
    for row in instances:
        yield Finding(
            Kind.TASK_WITHOUT_OPERATION, f"The instance is shown as {row.task}, and nothing "
            "works on it.", row.id, row.tenant_id, "instance", row.id, Repair.CLEAR_TASK,
            before=row.task)
    for row in backups:
        yield Finding(
            Kind.TASK_WITHOUT_OPERATION, f"The backup is shown as {row.state}, and nothing "
            "works on it.", row.instance_id, row.tenant_id, "backup", row.id,
            Repair.CLEAR_TASK, before=row.state)
