"""Make the one backup that new replicas begin with, and remove it when they have it."""

from __future__ import annotations

import dataclasses

from sqlalchemy.orm import Session

from trove_ng.common.states import BackupState
from trove_ng.db.repositories import instances, operations, quotas
from trove_ng.operations import payloads, replication, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import create_backup, delete_backup
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc import replication_messages as rm


def _enable_source(work: Work) -> None:
    instance_id = create_backup.load(work).instance_id or ""
    work.tools.guests(instance_id, work.context).enable_as_source(
        messages.StepRequest(operation_id=work.id, step="source"))


def _keep_log(work: Work) -> None:
    """Have the source keep what the replicas will need, whatever is backed up meanwhile.

    Where that goes with their accounts, each has one before the backup begins; it gets its
    password later.
    """
    source_id = create_backup.load(work).instance_id or ""
    if not _keeps_log_by_account(work, source_id):
        return
    for one in _waiting(work):
        with work.reader() as session:
            others = instances.replica_ids(session, [source_id]).get(source_id, [])
        work.tools.guests(source_id, work.context).set_replica_accounts(rm.ReplicaAccounts(
            keep=[replication.account(other) for other in others if other != one],
            add=messages.UserSpec(
                name=replication.account(one), password=replication.new_password())))


def _keeps_log_by_account(work: Work, source_id: str) -> bool:
    version, _ = servers.load_version(work, servers.load(work.on(source_id)))
    return work.tools.datastores[version.manager].accounts_are_data


def _stream(work: Work) -> None:
    """Have the agent of the source make the backup, as long as a replica needs it."""
    def check() -> None:
        if not _waiting(work):
            raise StepFailed("No replica is to begin with it any more.")

    create_backup.stream(work, check)


def _hand_out(work: Work) -> None:
    """Let the replicas begin, and wait until none needs the backup any more."""
    create_backup.note(work, state=BackupState.COMPLETED,
                       backup_timestamp=work.tools.clock.now())
    work.wait_for_others("the replicas", lambda: None if _waiting(work) else True)


def _waiting(work: Work) -> list[str]:
    """Return the ids of the replicas that are to begin with the backup, and did not fail."""
    with work.reader() as session:
        found = operations.live_resources(
            session, work.tenant_id, payloads.INSTANCE_CREATE_REPLICA)
    return [one for one, payload in found.items()
            if payload.get("backup_id") == work.resource_id]


def _succeed(work: Work, session: Session) -> None:
    quotas.commit(session, work.id)
    delete_backup.RUNBOOK.succeed(work, session)


RUNBOOK = Runbook(payloads.BACKUP_SEED_REPLICAS, (
    Step("source", _enable_source),
    Step("keep_log", _keep_log),
    *(dataclasses.replace(one, do=_stream) if one.name == "stream" else one
      for one in create_backup.RUNBOOK.steps),
    Step("hand_out", _hand_out),
    Step("remove", create_backup.drop_objects),
), _succeed, create_backup.RUNBOOK.fail, cancellable=True)
