"""Repairs: each is decided again on fresh facts, just before it is done."""

from __future__ import annotations

from collections.abc import Callable

from trove_ng.cloud.dns import description
from trove_ng.cloud.errors import CloudError
from trove_ng.common.context import of_its_own
from trove_ng.common.crypto import SecretBox
from trove_ng.common.states import BackupState
from trove_ng.db.models import Instance
from trove_ng.db.repositories import (
    backups,
    dns_records,
    faults,
    instances,
    quotas,
    reconciliation,
)
from trove_ng.db.repositories.reconciliation import Facts
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import Task
from trove_ng.domain.regions import NotEquivalent
from trove_ng.operations import payloads, there
from trove_ng.operations.backups import Backups
from trove_ng.operations.giving_up import ERRORS
from trove_ng.operations.notices import Notices
from trove_ng.operations.reconcile import compare, names, objects, snapshots
from trove_ng.operations.reconcile.findings import Finding, Kind, Outcome, Repair
from trove_ng.operations.reconcile.look import Parts, when
from trove_ng.operations.requests import PURPOSE, Requests

#: what the agent of a source is asked for
_OF_REPLICAS = (Repair.DROP_ACCOUNTS, Repair.OPEN_SOURCE)
_INTERRUPTED = "The work was interrupted and cannot go on."


class Repairer:
    """Repairs what may be repaired."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._by_kind: dict[Repair, Callable[[Finding], bool]] = {
            Repair.NOTE_STATUS: self._note_status, Repair.NOTE_HOST: self._note_host,
            Repair.RECOUNT: self._recount, Repair.CLEAR_TASK: self._clear_task,
            Repair.DELETE_KEY: self._delete_key, Repair.DELETE_INSTANCE: self._delete_instance,
            Repair.SETTLE_RESIZE: self._settle_resize, Repair.RECOVER: self._recover,
            Repair.DELETE_NAME: self._name, Repair.SET_NAME: self._name,
            Repair.DELETE_SNAPSHOT: self._delete_snapshot,
            Repair.DELETE_KEPT: self._delete_kept, Repair.LET_OUT: self._let_out,
            Repair.DROP_ACCOUNTS: self._let_out, Repair.OPEN_SOURCE: self._let_out,
            Repair.DELETE_AGAIN: self._delete_again,
            Repair.DELETE_OBJECTS: lambda finding: objects.delete(parts, finding)}

    def repair(self, finding: Finding, cloud: compare.Cloud | None) -> Outcome:
        """Repair one finding; what is not safe any more is left alone.

        :param cloud: in which it was found; None: within the store
        """
        if finding.repair is None:
            return Outcome(finding)
        try:
            done = (self._delete(finding, cloud)
                    if finding.repair is Repair.DELETE and cloud is not None
                    else self._by_kind[finding.repair](finding))
        except CloudError as err:
            return Outcome(finding, False, err.message)
        return Outcome(finding, done, "" if done else "It has changed meanwhile.")

    def _row(self, finding: Finding) -> Facts | None:
        owner = finding.instance_id or ""
        with self._parts.db.reader() as session:
            return reconciliation.of(session, [owner]).get(owner)

    def _delete(self, finding: Finding, cloud: compare.Cloud) -> bool:
        resource = cloud.found[finding.resource][finding.resource_id]
        now = compare.judge(finding.resource, resource, self._row(finding), cloud,
                            when(self._parts))
        if now is None or now.repair is not Repair.DELETE:
            return False
        clouds = self._parts.clouds.in_region(cloud.region)
        drop = {"server": clouds.compute.delete_server, "volume": clouds.volume.delete_volume,
                "floating_ip": clouds.network.delete_floating_ip,
                "port": clouds.network.delete_port,
                "server_group": clouds.compute.delete_server_group,
                "security_group": clouds.network.delete_security_group}[finding.resource]
        drop(finding.resource_id)
        return True

    def _delete_snapshot(self, finding: Finding) -> bool:
        storage = self._parts.clouds.in_region(finding.region).volume
        snapshot = storage.get_snapshot(finding.resource_id)
        if snapshot is None or snapshot.backup_id is None:
            return False
        with self._parts.db.reader() as session:
            row = reconciliation.backups_of(session, [snapshot.backup_id]).get(
                snapshot.backup_id)
        now = snapshots.judge(snapshot, row, when(self._parts))
        if now is None or now.repair is not Repair.DELETE_SNAPSHOT:
            return False
        storage.delete_snapshot(snapshot.id)
        return True

    def _delete_kept(self, finding: Finding) -> bool:
        storage = self._parts.clouds.in_region(finding.region).volume
        volume = storage.get_volume(finding.resource_id)
        if volume is None or not volume.kept_of or storage.snapshots_of(volume.id):
            return False
        storage.delete_volume(volume.id)
        return True

    def _settle_resize(self, finding: Finding) -> bool:
        """Let the server have the flavor that its instance has."""
        clouds, row = self._parts.clouds.in_region(finding.region), self._row(finding)
        compute = clouds.compute
        server = compute.get_server(finding.resource_id)
        if (row is None or not compare.is_idle(row, when(self._parts).settled)
                or server is None or server.status != compare.UNDECIDED or server.task_state):
            return False
        try:
            wanted = there.flavor_id(clouds, row.flavor_id)
        except NotEquivalent:
            return False  # nobody knows which one it is
        decide = (compute.confirm_resize if server.flavor_id == wanted
                  else compute.revert_resize)
        decide(server.id)
        return True

    def _name(self, finding: Finding) -> bool:
        """Do what is still to be done about the names of an instance."""
        row = self._row(finding)
        if row is None:
            return False
        service, done = self._parts.clouds.names, False
        # of what is left behind, the name is told
        place = finding.before if finding.repair is Repair.DELETE_NAME else row.hostname
        records = service.find(place) if place else []
        for now in names.judge({row.id: row}, records, when(self._parts)):
            wanted = names.wanted_address(row)
            if now.repair is not finding.repair:
                continue
            if now.repair is Repair.DELETE_NAME:
                service.delete(now.resource_id)
                self._forget_name(row.id, now.resource_id)
            elif now.kind is Kind.NAME_ELSEWHERE and wanted is not None:
                service.change(now.resource_id, wanted)
            elif wanted is not None and row.hostname is not None:
                made = service.create(row.hostname, wanted, description(row.id))
                self._note_name(row.id, row.hostname, made.id)
            done = True
        return done

    @retry_on_db_error
    def _note_name(self, instance_id: str, name: str, record_id: str) -> None:
        with self._parts.db.writer() as session:
            dns_records.note(session, instance_id, name, record_id)

    @retry_on_db_error
    def _forget_name(self, instance_id: str, record_id: str) -> None:
        with self._parts.db.writer() as session:
            for one in dns_records.of(session, instance_id):
                if one.record_id == record_id:
                    session.delete(one)

    def _recover(self, finding: Finding) -> bool:
        times = when(self._parts)

        def wanted(_instance: Instance, row: Facts) -> payloads.Payload | None:
            due = compare.is_idle(row, times.settled) and compare.is_recovery_due(row, times)
            return payloads.RecoverInstance() if due else None

        return self._begin(finding, payloads.INSTANCE_RECOVER, Task.REBUILDING, wanted)

    def _let_out(self, finding: Finding) -> bool:
        times = when(self._parts)

        def wanted(instance: Instance, row: Facts) -> payloads.Payload | None:
            return (payloads.UpdateAccess(access=dict(instance.access or {}),
                                          accounts=finding.repair in _OF_REPLICAS)
                    if compare.is_idle(row, times.settled) else None)

        return self._begin(finding, payloads.INSTANCE_UPDATE_ACCESS, Task.UPDATING, wanted)

    def _delete_instance(self, finding: Finding) -> bool:
        def wanted(instance: Instance, row: Facts) -> payloads.Payload | None:
            left = not row.live and instance.verifies_id is not None
            return payloads.DeleteInstance() if left else None

        return self._begin(finding, payloads.INSTANCE_FORCE_DELETE, Task.DELETING, wanted)

    def _delete_again(self, finding: Finding) -> bool:
        if finding.resource == "backup":
            return self._delete_backup_again(finding)

        def wanted(instance: Instance, row: Facts) -> payloads.Payload | None:
            left = not row.live and not row.deleted and row.error == compare.FAILED_DELETE
            return payloads.DeleteInstance() if left else None

        return self._begin(finding, payloads.INSTANCE_DELETE, Task.DELETING, wanted)

    @retry_on_db_error
    def _delete_backup_again(self, finding: Finding) -> bool:
        parts = self._parts
        with parts.db.writer() as session:
            found = backups.get(session, finding.resource_id, lock=True)
            if (found is None or found.state != BackupState.DELETE_FAILED
                    or backups.children(session, found.id)):
                return False  # what continues it goes first
            Backups(parts.conf, self._requests(parts.told)).begin_delete(
                session, found, of_its_own(found.tenant_id), parts.clock.now())
        return True

    @retry_on_db_error
    def _begin(self, finding: Finding, action: str, task: Task,
               wanted: Callable[[Instance, Facts], payloads.Payload | None]) -> bool:
        """Begin an operation, which a taskmanager finds when it sweeps; return whether it is.

        :param wanted: returns what to ask for; None: it is not safe any more
        """
        parts, owner = self._parts, finding.instance_id or ""
        with parts.db.writer() as session:
            instance = instances.get(session, owner, lock=True)
            row = reconciliation.of(session, [owner]).get(owner)
            payload = None if instance is None or row is None else wanted(instance, row)
            if instance is None or payload is None:
                return False
            accepted = self._requests(parts.told and instance.verifies_id is None).submit(
                session, action=action, resource_type="instance", resource_id=instance.id,
                tenant_id=instance.tenant_id, now=parts.clock.now(),
                context=of_its_own(instance.tenant_id), payload=payload)
            instance.task, instance.operation_id = task, accepted.id
        return True

    def _requests(self, told: bool) -> Requests:
        """Return what begins operations.

        :param told: owners are notified of them
        """
        conf = self._parts.conf
        return Requests(conf, SecretBox(conf.inst_rpc_key_encr_key, PURPOSE),
                        Notices(lambda: told, of_its_own=True))

    @retry_on_db_error
    def _note_status(self, finding: Finding) -> bool:
        with self._parts.db.writer() as session:
            return instances.note_server_state(
                session, finding.instance_id or "", finding.before, finding.after or "",
                self._parts.clock.now())

    @retry_on_db_error
    def _note_host(self, finding: Finding) -> bool:
        with self._parts.db.writer() as session:
            return instances.note_server_host(
                session, finding.instance_id or "", finding.before, finding.after or "")

    @retry_on_db_error
    def _recount(self, finding: Finding) -> bool:
        with self._parts.db.writer() as session:
            return quotas.recount_quiet(session, finding.tenant_id or "") is not None

    @retry_on_db_error
    def _clear_task(self, finding: Finding) -> bool:
        before = finding.before or ""
        with self._parts.db.writer() as session:
            if finding.resource == "backup":
                after = (BackupState.DELETE_FAILED if before == BackupState.DELETING
                         else BackupState.FAILED)
                return reconciliation.fail_backup(
                    session, finding.resource_id, before, after, _INTERRUPTED)
            done = reconciliation.clear_task(
                session, finding.resource_id, before, ERRORS.get(before, ""))
            if done:
                faults.add(session, finding.resource_id, _INTERRUPTED,
                           f"task {before} without an operation", self._parts.clock.now())
            return done

    @retry_on_db_error
    def _delete_key(self, finding: Finding) -> bool:
        with self._parts.db.writer() as session:
            return reconciliation.delete_key_of_deleted(session, finding.instance_id or "")
