"""Restore a backup into an instance of the service, look through the data, remove it again.

The instance is made by the steps that make any other one, and is in the store before anything
of it is in the cloud: what a failure leaves behind is found by the reconciliation.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy.orm import Session

from trove_ng.common.clock import isoformat
from trove_ng.common.states import VERIFICATION_PROJECT, BackupState, VerificationState
from trove_ng.db.models import Instance, InstanceVolume
from trove_ng.db.repositories import backups, faults, instances, operations, quotas, schedules
from trove_ng.db.repositories import volumes as stored_volumes
from trove_ng.domain.instance_status import Task
from trove_ng.domain.volumes import CINDER, DATA
from trove_ng.operations import guest, log_damage, payloads, storage, verification
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import create_instance
from trove_ng.operations.runbooks.create_backup import load, note
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages

_RESTORE, _SERVES = "prepare", "database"
#: the steps of a new instance that are needed to restore; the others are for its owner
_NEEDED = ("security_group", "ports", "volume", "key", "server", "attach_volume", "agent",
           _RESTORE, _SERVES)
_STEPS = {one.name: one for one in create_instance.RUNBOOK.steps}


def _scratch(work: Work) -> Work:
    """Return the work on the instance that the backup is restored into."""
    return work.on(work.payload(payloads.VerifyBackup).instance_id)


def _there(function: Callable[[Work], None]) -> Callable[[Work], None]:
    return lambda work: function(_scratch(work))


def _look_at_objects(work: Work) -> None:
    """Look whether the store has all that is restored, before anything is made for it."""
    backup = load(work)
    if backup.storage_driver != backups.SWIFT:
        return
    with work.reader() as session:
        chain = backups.chain(session, backup.id)
    found = storage.find_damage(work, chain)
    if found is None:
        return
    if found[0].id == backup.id:
        _condemn(work, found[1])
        raise StepFailed(f"The backup is damaged: {found[1]}")
    raise StepFailed(f"Backup {found[0].id}, which this one continues, is damaged: {found[1]}")


def _write_row(work: Work) -> None:
    """Write the instance, in the service's own accounts."""
    payload, backup = work.payload(payloads.VerifyBackup), load(work)
    flavor = work.tools.clouds.in_region(None).compute.get_flavor(payload.flavor_id)
    if flavor is None:
        raise StepFailed(f"The compute service has no flavor {payload.flavor_id}.")
    network, now = work.tools.conf.backup_verification_network, work.tools.clock.now()
    with work.writer() as session:
        if session.get(Instance, payload.instance_id) is not None:
            return
        instances.add(session, Instance(
            id=payload.instance_id, name=f"verification-{backup.id}",
            tenant_id=VERIFICATION_PROJECT, verifies_id=backup.id, task=Task.BUILDING,
            operation_id=work.id, flavor_id=flavor.id, flavor_ram=flavor.ram_mb,
            volume_size=backup.volume_size, region_id=backup.region_id,
            nics=[{"network_id": network}] if network else [],
            # the data are their owner's
            access={"is_public": False, "allowed_cidrs": []},
            datastore_version_id=backup.datastore_version_id or "", created=now, updated=now))
        if backup.volume_size is not None:
            stored_volumes.add(session, [InstanceVolume(
                instance_id=payload.instance_id, volume_kind=DATA, size=backup.volume_size,
                provider=CINDER, created=now, updated=now)])
        quotas.reserve(session, VERIFICATION_PROJECT, work.id, {
            "volumes": backup.volume_size or 0, "ram": flavor.ram_mb}, {})


def _restore(work: Work) -> None:
    try:
        _STEPS[_RESTORE].do(_scratch(work))
    except guest.AgentFailed as err:
        if err.damage is not None and err.damage.proved:
            _blame(work, err.damage.checksum, err.message)
        elif err.damage is not None:
            _look_at_objects(work)
        raise


def _blame(work: Work, checksum: str, why: str) -> None:
    """Condemn the backup that is damaged, the one to verify if it is not known which.

    :raises StepFailed: another one is, which this one continues
    """
    with work.reader() as session:
        chain = backups.chain(session, work.resource_id)
    blamed = next((one.id for one in chain if one.checksum == checksum), work.resource_id)
    if blamed == work.resource_id:
        _condemn(work, why)
        return
    with work.writer() as session:
        backups.note_corrupt(session, blamed, why)
    raise StepFailed(f"Backup {blamed}, which this one continues: {why}")


def _check(work: Work) -> None:
    """Have the agent look through the data, and write what it found."""
    instance_id = _scratch(work).resource_id
    client = work.tools.guests(instance_id, work.context)
    request = messages.CheckRequest(
        operation_id=work.id, step="check_data",
        seconds=work.tools.conf.backup_verification_check_time)
    result = guest.run_long(work, instance_id, request.step,
                            lambda: client.check_data(request))
    try:
        report = msgspec.convert(result, messages.DataReport)
    except msgspec.ValidationError:
        raise StepFailed("The agent's report of the data cannot be read.") from None
    if report.problems:
        why = " ".join(report.problems)
        _condemn(work, why)
        raise StepFailed(f"The backup is damaged: {why}")
    now = work.tools.clock.now()
    # what was held against it before was not its own fault
    healed: dict[str, object] = ({"state": BackupState.COMPLETED, "error": None}
                                 if load(work).state == BackupState.CORRUPT else {})
    note(work, **healed, verified_at=now, restore_seconds=_restore_seconds(work, instance_id),
         verification=verification.plain(msgspec.structs.replace(
             _verdict(work, verification.GOOD), size=report.size, counts=report.counts)))


def _look_at_log(work: Work) -> None:
    """Look whether the store has the archived log that brings the backup to later times.

    :raises StepFailed: it has not; the backup is good all the same
    """
    backup = load(work)
    found = log_damage.look(work, backup)
    if found is None:
        return
    known = msgspec.convert(backup.verification, verification.Verdict)
    note(work, verification=verification.plain(msgspec.structs.replace(
        known, reason=found.why, counts={**known.counts, "log_parts": found.number})))
    if found.why is not None:
        raise StepFailed("The backup is good, but the archived log after it is not: "
                         f"{found.why}")


def _restore_seconds(work: Work, instance_id: str) -> float | None:
    """Return the time from the row of the instance to a database that serves."""
    with work.reader() as session:
        instance = session.get(Instance, instance_id)
        served = next((one.ended_at for one in operations.steps(session, work.id)
                       if one.step == _SERVES), None)
    if instance is None or served is None:
        return None
    return round((served - instance.created).total_seconds(), 3)


def _verdict(work: Work, result: str, why: str | None = None) -> verification.Verdict:
    return verification.Verdict(result=result, at=isoformat(work.tools.clock.now()) or "",
                                operation_id=work.id, reason=why)


def _condemn(work: Work, why: str) -> None:
    """Write that the backup is not what was stored."""
    with work.writer() as session:
        backups.note_corrupt(session, work.resource_id, why)
        row = backups.get(session, work.resource_id)
        if row is not None:
            row.verification = verification.plain(_verdict(work, verification.CORRUPT, why))


def _remove(work: Work) -> None:
    for step in reversed(_BUILD):
        if step.undo is not None:
            step.undo(work)


def _end(work: Work, session: Session) -> None:
    """Forget the instance; one of which something is left is deleted later."""
    row = session.get(Instance, _scratch(work).resource_id)
    if row is None:
        quotas.rollback(session, work.id)
        return
    if row.deleted:
        # by an administrator, whose operation gave back what it used
        quotas.commit(session, work.id)
        return
    row.task, row.operation_id = Task.NONE, None
    if operations.was_left(session, work.id):
        row.error = "DELETE"
        quotas.commit(session, work.id)
        return
    row.deleted, row.deleted_at = True, work.tools.clock.now()
    row.server_status = "DELETED"
    faults.clear(session, row.id, row.deleted_at)
    stored_volumes.forget(session, row.id)
    quotas.rollback(session, work.id)


def _succeed(work: Work, session: Session) -> None:
    _end(work, session)
    schedules.note_verification(session, work.resource_id, VerificationState.GOOD)


def _fail(work: Work, session: Session, why: str) -> None:
    _end(work, session)
    row = backups.get(session, work.resource_id)
    verdict = row.verification if row is not None else None
    state = VerificationState.FAILED
    if verdict is not None and verdict["operation_id"] == work.id:
        # it found out how the backup is, whatever failed then
        state = VerificationState(verdict["result"])
    elif row is not None and not work.cancelled:
        row.verification = verification.plain(_verdict(work, verification.FAILED, why))
    schedules.note_verification(session, work.resource_id, state)


_BUILD = tuple(
    Step(name, _restore if name == _RESTORE else _there(_STEPS[name].do),
         _there(undo) if (undo := _STEPS[name].undo) is not None else None)
    for name in _NEEDED)

RUNBOOK = Runbook(payloads.BACKUP_VERIFY, (
    Step("objects", _look_at_objects),
    Step("record", _write_row),
    *_BUILD,
    Step("check", _check),
    Step("log", _look_at_log),
    Step("remove", _remove, final=True),
), _succeed, _fail, cancellable=True)
