"""Make a backup known that another database service left in the project's object store.

What it consists of is read from the record that stands beside it, and compared with the
objects; nothing is copied, and its objects are not deleted with it.  Those that it continues
are made known too, unless they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.common.errors import QuotaExceeded
from trove_ng.common.states import BackupState
from trove_ng.conf import quota
from trove_ng.datastores.options import backup_strategy
from trove_ng.db.models import Backup
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import backups, datastores, quotas
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations import payloads, remote, storage
from trove_ng.operations.remote import Found
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks.create_backup import load, note
from trove_ng.operations.work import StepFailed, Work


def _read(work: Work) -> None:
    backup = load(work)
    found = remote.find(work, backup.tenant_id,
                        work.payload(payloads.ImportBackup).remote_location)
    with work.reader() as session:
        version = datastores.get_version(session, backup.datastore_version_id or "")
    if version is None:
        raise StepFailed("The datastore version of the backup is gone.")
    engine = work.tools.datastores[version[0].manager]
    # the usual one is known to the images, whichever an operator chose for new ones
    if found.record.stored.strategy not in (
            engine.backup_strategy, backup_strategy(work.tools.conf, engine)):
        raise StepFailed("The backup was made in a way that the datastore version cannot "
                         "restore.")
    note(work, state=BackupState.SAVING, **_values(found))


def _values(found: Found) -> dict[str, Any]:
    """Return what a backup's row says of what was found."""
    stored = found.record.stored
    return {
        "region_id": found.region, "container": found.container, "prefix": found.prefix,
        "manifest": storage.plain(stored), "backup_type": stored.strategy,
        "size_bytes": stored.size, "data_size_bytes": stored.data_size,
        "checksum": stored.checksum}


def _verify(work: Work) -> None:
    """Look at the objects and the keys of all that is needed, and make it known."""
    backup = load(work)
    links = remote.chain(work, backup.tenant_id,
                         work.payload(payloads.ImportBackup).remote_location)
    rows = [_row(work, backup, link, number) for number, link in enumerate(links[:-1], 1)]
    rows.append(_row(work, backup, links[-1]))
    for row in rows:
        damage = storage.damage(work, row)
        if damage is not None:
            about = ("The backup" if row.id == backup.id
                     else "A backup that this one continues")
            raise StepFailed(f"{about} is damaged: {damage}")
    try:
        _make_known(work, rows)
    except QuotaExceeded as err:
        raise StepFailed(f"The backups that this one continues cannot be taken over: "
                         f"{err.message}") from None


def _row(work: Work, own: Backup, link: Found, number: int | None = None) -> Backup:
    """Return a backup as it is known from then on.

    :param own: the one that is asked for
    :param number: of what it continues; None: the one that is asked for
    """
    ident = own.id if number is None else new_id()
    key = remote.key(work, own.tenant_id, link)
    now = work.tools.clock.now()
    return Backup(
        id=ident, name=own.name if number is None else f"{own.name[:240]} (part {number})",
        description=f"Taken over because backup {own.id} continues it.",
        tenant_id=own.tenant_id, datastore_version_id=own.datastore_version_id,
        volume_size=own.volume_size, state=BackupState.RESTORED,
        sealed_key=storage.seal_key(work, ident, key) if key is not None else None,
        location=remote.url(work, own.tenant_id, link),
        backup_timestamp=now, created=now, updated=now, **_values(link))


@retry_on_db_error
def _make_known(work: Work, rows: Sequence[Backup]) -> None:
    """Write a chain: the rows of what is not known yet, and what each one continues.

    Of imports at once that have backups in common, one writes these; the others use them.

    :param rows: the full one first, the one that is asked for last
    """
    with work.writer() as session:
        _join(work, session, rows)


def _join(work: Work, session: Session, rows: Sequence[Backup]) -> None:
    own = backups.get(session, work.resource_id, lock=True)
    if own is None:
        raise StepFailed("The backup is gone.")
    above: str | None = None
    for row in rows[:-1]:
        # what is known in another chain is not joined to this one
        row.parent_id = above
        known = backups.same(session, row)
        if known is None:
            quotas.take(session, own.tenant_id, {"backups": 1},
                        quota.defaults(work.tools.conf))
            backups.add_part(session, row)
        above = row.id if known is None else known.id
    own.parent_id = above
    for name in ("sealed_key", "region_id", "container", "prefix", "manifest", "backup_type",
                 "size_bytes", "data_size_bytes", "checksum"):
        setattr(own, name, getattr(rows[-1], name))


def _succeed(work: Work, session: Session) -> None:
    row = backups.get(session, work.resource_id)
    now = work.tools.clock.now()
    if row is not None:
        row.state, row.updated, row.backup_timestamp = BackupState.RESTORED, now, now
    quotas.commit(session, work.id)


def _fail(work: Work, session: Session, why: str) -> None:
    row = backups.get(session, work.resource_id)
    if row is not None:
        row.state, row.error = BackupState.FAILED, why[:255]
        row.updated = work.tools.clock.now()
    # the row counts until it is deleted
    quotas.commit(session, work.id)


RUNBOOK = Runbook(payloads.BACKUP_IMPORT, (
    Step("record", _read),
    Step("verify", _verify),
), _succeed, _fail, cancellable=True)
