"""Beginning to verify backups: each is restored where nobody sees it, and looked through."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import Conflict, QuotaExceeded, UnprocessableEntity
from trove_ng.common.states import VERIFICATION_PROJECT, VerificationState
from trove_ng.db.models import Backup, Instance, Operation
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import backups, operations, quotas
from trove_ng.operations import payloads
from trove_ng.operations.backups import find_broken, is_restorable
from trove_ng.operations.requests import Requests

GOOD, CORRUPT, FAILED = (
    VerificationState.GOOD.value, VerificationState.CORRUPT.value,
    VerificationState.FAILED.value)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    :param result: GOOD, CORRUPT, or FAILED when trouble that is not the backup's kept it from
        being verified
    :param at: when it was found
    :param reason: why it is not good, or the archived log after it is not
    :param size: bytes that the restored data have
    :param counts: what was looked through → how many
    """

    result: str
    at: str
    operation_id: str
    reason: str | None = None
    size: int | None = None
    counts: dict[str, int] = {}


def plain(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(verdict)
    return values


def begin(session: Session, conf: cfg.ConfigOpts, requests: Requests, backup: Backup,
          context: RequestContext, now: datetime.datetime) -> Operation:
    """Write the operation that verifies a backup.

    :param conf: with the options of conf.object_store
    :param backup: locked
    :raises Conflict: it cannot be restored, or something works on it
    :raises UnprocessableEntity: too many are verified now, or another one of the project, or it
        is not known how
    """
    if backup.for_replicas:
        raise Conflict(f"Backup {backup.id} is there for new replicas only.")
    if not is_restorable(backup, payloads.BACKUP_VERIFY):
        raise Conflict(f"Backup {backup.id} cannot be verified: it is {backup.state}.")
    broken = find_broken(backups.chain(session, backup.id)[:-1])
    if broken is not None:
        raise Conflict(f"Backup {backup.id} cannot be verified: it continues backup "
                       f"{broken.id}, which cannot be used.")
    # the row of a deleted instance still says what it had
    source = session.get(Instance, backup.instance_id) if backup.instance_id else None
    flavor_id = conf.backup_verification_flavor or (source.flavor_id if source else None)
    if flavor_id is None:
        raise UnprocessableEntity(
            f"Backup {backup.id} cannot be verified: no instance is known that it was made of, "
            "and backup_verification_flavor is not configured.")
    accepted = requests.submit(
        session, action=payloads.BACKUP_VERIFY, resource_type="backup", resource_id=backup.id,
        tenant_id=backup.tenant_id, context=context, now=now,
        payload=payloads.VerifyBackup(
            backup_id=backup.id, instance_id=new_id(), flavor_id=flavor_id))
    most = conf.backup_verification_limit
    try:
        quotas.reserve(session, VERIFICATION_PROJECT, accepted.id, {"instances": 1},
                       {"instances": most})
    except QuotaExceeded:
        raise UnprocessableEntity(
            f"No more than {most} backups are verified at once; ask again later.") from None
    # read when what all of them share is locked
    if len(operations.live_payloads(session, backup.tenant_id, payloads.BACKUP_VERIFY)) > 1:
        raise UnprocessableEntity(
            "Another backup of the project is verified now; ask again later.")
    return accepted
