"""The archives of the logs of databases: what agents store, how long it is kept, and what a
restore to a time is given of it.

An agent stores the log after what the store knows, each time under names of their own: an
answer that was lost, or came twice, leaves objects that nobody knows, which go later.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import logging
import re
import secrets
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from trove_ng.cloud.errors import CloudError
from trove_ng.common.clock import isoformat, utcnow
from trove_ng.common.crypto import DecryptError, derive_key
from trove_ng.common.errors import Conflict, GuestError, TroveError
from trove_ng.common.secret import Secret
from trove_ng.common.states import EventKind
from trove_ng.conf.object_store import guest_url
from trove_ng.db.models import Backup, LogArchive, LogPiece
from trove_ng.db.repositories import events, faults, instances, log_archives, operations
from trove_ng.db.repositories.sealed import LOG_ARCHIVES
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.log_archive import Base, Part, expendable, needed, refuse, whole_range
from trove_ng.operations import payloads
from trove_ng.operations.storage import guest_grant, new_key, plain
from trove_ng.operations.work import StepFailed, Tools, Work
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages

LOG = logging.getLogger(__name__)

#: an agent that has more to store than it gets done is asked at once again, so often
_ROUNDS = 20
#: seconds that an agent's leave to write outlasts the request: a file of log may take so long
_GRANT_MARGIN = 3600
#: what a request is called in the names of objects, which says when it was made
_FORM = "%Y%m%dT%H%M%S"
_IDENT = re.compile(r"([0-9]{8}T[0-9]{6}-[0-9a-f]{16})/")
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the store's form


def prefix(instance_id: str) -> str:
    """Return what the names of the objects of an archive begin with."""
    return f"log_{instance_id}/"


def base(backup: Backup) -> Base | None:
    """Return a backup as one that log can be applied to; None if it does not tell."""
    if backup.log_stream is None or backup.log_number is None or backup.log_time is None:
        return None
    return Base(backup.log_stream, backup.log_number, backup.log_time)


def moment(seconds: float) -> datetime.datetime:
    """Return Unix seconds as the store keeps times; to the millisecond, and not later."""
    return _EPOCH + datetime.timedelta(milliseconds=int(seconds * 1000 + 1e-3))


def end_of(stored: messages.StoredBackup) -> dict[str, Any]:
    """Return the columns that say where the log goes on after a backup, if its agent tells."""
    about = stored.metadata
    try:
        number, ended = int(about[am.NUMBER]), moment(float(about[am.ENDED]))
    except (KeyError, ValueError, OverflowError):
        return {}
    if not 0 <= number < 2 ** 63 or len(about.get(am.STREAM, "")) not in range(1, 129):
        return {}
    # the last millisecond may not be over
    return {"log_stream": about[am.STREAM], "log_number": number,
            "log_time": ended + datetime.timedelta(milliseconds=1)}


def backups_of(session: Session, instance_id: str) -> list[Base]:
    """Return where the log continues the backups of an instance."""
    return [Base(*row) for row in log_archives.bases(session, instance_id)]


def parts(session: Session, instance_id: str, *, damaged: bool = False) -> list[Part]:
    """Return the parts of an archive.

    :param damaged: also those that cannot be restored
    """
    return [Part(*row) for row in log_archives.parts(session, instance_id, damaged=damaged)]


def note_range(session: Session, archive: LogArchive) -> None:
    """Write to which times an instance can be restored now."""
    found = whole_range(backups_of(session, archive.instance_id),
                        parts(session, archive.instance_id))
    archive.earliest, archive.latest = found or (None, None)


def replay(work: Work, backup: Backup, until: datetime.datetime) -> messages.LogReplay:
    """Return the log that brings a backup to a time.

    :raises StepFailed: it is not there any more
    """
    known, instance_id = base(backup), backup.instance_id or ""
    with work.reader() as session:
        archive = log_archives.get(session, instance_id)
        found = parts(session, instance_id)
        if archive is None or known is None or refuse(known, found, until) is not None:
            raise StepFailed(f"Backup {backup.id} cannot be brought to "
                             f"{isoformat(until)} any more.")
        pieces = log_archives.pieces(session, [one.id for one in needed(known, found, until)])
    store = work.tools.clouds.objects_in(archive.region_id)
    made = store.grant(archive.tenant_id, archive.container, prefix(instance_id), write=False,
                       lifetime_s=work.tools.conf.backup_grant_lifetime)
    stored = [msgspec.convert(one.manifest, messages.StoredBackup) for one in pieces]
    return messages.LogReplay(
        until=(until - _EPOCH).total_seconds(), pieces=stored,
        keys=[_key(work.tools, archive, one.id) for one in pieces],
        grant=guest_grant(made, guest_url(work.tools.conf, archive.region_id)))


def tell_restored(session: Session, instance_id: str, until: float, result: dict[str, Any],
                  now: datetime.datetime) -> None:
    """Tell on the timeline of an instance to which time it was restored.

    :param result: of the agent's prepare
    """
    reached = None
    with contextlib.suppress(msgspec.ValidationError):
        reached = msgspec.convert(result, messages.Prepared).restored_to
    last = (f"the last change is of {isoformat(moment(reached))}Z" if reached is not None
            else "there was no change since the backup")
    wanted = moment(until).isoformat(timespec="milliseconds")
    events.add_for_instance(session, EventKind.RESTORED, instance_id,
                            f"The database is as it was at {wanted}Z: {last}.", now)


def _key(tools: Tools, archive: LogArchive, piece_id: str) -> Secret | None:
    """Return the key of a part; each has its own."""
    if archive.sealed_key is None:
        return None
    try:
        secret = tools.key_box.open(archive.sealed_key, LOG_ARCHIVES.bound(archive.instance_id))
    except DecryptError:
        raise StepFailed("The key of the archived log cannot be read.") from None
    return Secret(base64.urlsafe_b64encode(
        derive_key(secret, f"log piece {piece_id}")).decode())


class Shipping:
    """Has agents store what their databases wrote."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @property
    def _seconds(self) -> float:
        conf = self._tools.conf
        return float(min(conf.log_archive_time, conf.guest_call_timeout / 2))

    def ship(self, instance_id: str) -> bool:
        """Store all that is not archived yet, or have the agent keep no more for it.

        :return: whether that is done; else the agent may be at it still
        """
        try:
            return any(self._ship_once(instance_id) for _ in range(_ROUNDS))
        except Conflict:
            # it has more to do than fits until it is asked again
            LOG.info("the log of instance %s is being archived", instance_id)
        except (TroveError, CloudError, StepFailed) as err:
            self._note_error(instance_id, err.message)
        return False

    def _ship_once(self, instance_id: str) -> bool:
        """Return whether nothing is left to store."""
        with self._tools.db.reader() as session:
            archive = log_archives.get(session, instance_id)
        if archive is None:
            return True
        guest = self._tools.guests(instance_id)
        if not archive.enabled:
            guest.end_log_archive()
            self._note_stopped(instance_id)
            return True
        archive = self._with_key(archive)
        ident = f"{utcnow():{_FORM}}-{secrets.token_hex(8)}"
        request = self._request(archive, ident)
        return self._note(archive.instance_id, ident, request, guest.archive_log(request))

    def _request(self, archive: LogArchive, ident: str) -> am.ArchiveRequest:
        tools = self._tools
        store = tools.clouds.objects_in(archive.region_id)
        store.ensure_container(archive.tenant_id, archive.container)
        made = store.grant(
            archive.tenant_id, archive.container, f"{prefix(archive.instance_id)}{ident}/",
            write=True, lifetime_s=int(tools.conf.guest_call_timeout) + _GRANT_MARGIN)
        after = None if archive.stream is None or archive.number is None else am.LogPosition(
            stream=archive.stream, number=archive.number)
        return am.ArchiveRequest(
            grant=guest_grant(made, guest_url(tools.conf, archive.region_id)), after=after,
            key=_key(tools, archive, ident), seconds=self._seconds)

    @retry_on_db_error
    def _with_key(self, archive: LogArchive) -> LogArchive:
        """Return the archive, with a key if it is to be encrypted and begins."""
        if not self._tools.conf.backup_encryption or archive.sealed_key is not None:
            return archive
        with self._tools.db.writer() as session:
            row = log_archives.get(session, archive.instance_id, lock=True)
            # parts that are there have none
            if row is None or row.stream is not None or row.sealed_key is not None:
                return row or archive
            row.sealed_key = self._tools.key_box.seal(
                new_key().reveal(), LOG_ARCHIVES.bound(row.instance_id))
            session.flush()
            return row

    @retry_on_db_error
    def _note(self, instance_id: str, ident: str, request: am.ArchiveRequest,
              done: am.ArchivedLog) -> bool:
        """Write what was stored, unless another answer was first."""
        now = self._tools.clock.now()
        stored = _stored_for(done, instance_id)
        if stored != ident and stored < self._oldest():
            raise GuestError("The agent's report of the archived log is of long ago.")
        with self._tools.db.writer() as session:
            archive = log_archives.get(session, instance_id, lock=True)
            if archive is None or (archive.stream, archive.number) != (
                    (request.after.stream, request.after.number)
                    if request.after is not None else (None, None)):
                return True
            if session.get(LogPiece, stored) is not None:
                raise GuestError("The agent's report of the archived log names other objects.")
            log_archives.add(session, LogPiece(
                id=stored, instance_id=instance_id, stream=done.begin.stream,
                first_number=done.begin.number, next_number=done.end,
                until=None if done.until is None else moment(done.until),
                data_size=done.stored.data_size, manifest=plain(done.stored), created=now))
            if request.after is not None and done.begin != request.after:
                _tell_gap(session, instance_id, request.after, done, now)
            archive.stream, archive.number = done.begin.stream, done.end
            archive.error = None
            if done.until is not None:
                archive.shipped_at = now
            session.flush()
            note_range(session, archive)
            return done.until is not None

    def _oldest(self) -> str:
        """Return the oldest request that may still be answered: nobody cleans up after it yet."""
        conf = self._tools.conf
        seconds = min(conf.guest_call_timeout + 2 * _GRANT_MARGIN, conf.orphan_objects_age / 2)
        return f"{utcnow() - datetime.timedelta(seconds=seconds):{_FORM}}"

    @retry_on_db_error
    def _note_stopped(self, instance_id: str) -> None:
        with self._tools.db.writer() as session:
            archive = log_archives.get(session, instance_id, lock=True)
            if archive is not None and not archive.enabled:
                archive.next_at, archive.error = None, None

    @retry_on_db_error
    def _note_error(self, instance_id: str, why: str) -> None:
        with self._tools.db.writer() as session:
            archive = log_archives.get(session, instance_id, lock=True)
            if archive is not None:
                archive.error = why[:255]


def _stored_for(done: am.ArchivedLog, instance_id: str) -> str:
    """Return for which request of this archive something was stored.

    That may be one before, to which the answer came too late.

    :raises GuestError: the report cannot be true: it would have others' objects used
    """
    names, whole = [segment.name for segment in done.stored.segments], prefix(instance_id)
    found = _IDENT.match(names[0], len(whole)) if names else None
    if found is None or not all(name.startswith(f"{whole}{found[0]}") for name in names):
        raise GuestError("The agent's report of the archived log names other objects.")
    if done.end <= done.begin.number:
        raise GuestError("The agent's report of the archived log holds nothing.")
    return found[1]


def _tell_gap(session: Session, instance_id: str, after: am.LogPosition, done: am.ArchivedLog,
              now: datetime.datetime) -> None:
    why = ("Part of the database's log was gone before it was archived"
           if done.begin.stream == after.stream else "The database's log began anew")
    faults.add(session, instance_id,
               f"{why}: later times can be restored from later backups only. Make one.",
               f"from {after.stream} {after.number} to {done.begin.stream} {done.begin.number}",
               now)


class Cleaning:
    """Removes what no restore within the retention needs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def clean(self, instance_id: str) -> None:
        """Remove what is needed no more of one archive, and the archive if it ended.

        :raises CloudError: the object store does not do it
        """
        archive = self._forget(instance_id)
        if archive is None:
            return
        store = self._tools.clouds.objects_in(archive.region_id)
        listed = store.list_dated(archive.tenant_id, archive.container, prefix(instance_id))
        with self._tools.db.reader() as session:
            known = log_archives.object_names(session, instance_id)
        late = self._tools.clock.now() - datetime.timedelta(
            seconds=self._tools.conf.orphan_objects_age)
        # a part that is on its way is not known yet
        lost = sorted(name for name, stored in listed.items()
                      if name not in known and stored < late)
        if lost:
            store.delete_objects(archive.tenant_id, archive.container, lost)
        if not known and len(lost) == len(listed):
            self._drop(instance_id)

    @retry_on_db_error
    def _forget(self, instance_id: str) -> LogArchive | None:
        """Forget parts; their objects, then unknown, go when they are old enough."""
        now = self._tools.clock.now()
        with self._tools.db.writer() as session:
            archive = log_archives.get(session, instance_id, lock=True)
            if archive is None:
                return None
            if not self._is_restored(session, archive):
                oldest = now - datetime.timedelta(days=archive.retention_days)
                bases = backups_of(session, instance_id)
                found = parts(session, instance_id, damaged=True)
                # without instance and backups nothing will ever be restored
                kept = bool(bases) or instances.get(session, instance_id) is not None
                log_archives.remove(session, expendable(bases, found, oldest) if kept
                                    else [one.id for one in found])
            note_range(session, archive)
            return archive

    @staticmethod
    def _is_restored(session: Session, archive: LogArchive) -> bool:
        """Return whether an instance is being restored that may need any part."""
        ids = {str(one["backup_id"]) for one in operations.live_payloads(
            session, archive.tenant_id, payloads.INSTANCE_CREATE) if one.get("restore_time")}
        return any(found is not None and found.instance_id == archive.instance_id
                   for found in (session.get(Backup, one) for one in ids))

    @retry_on_db_error
    def _drop(self, instance_id: str) -> None:
        with self._tools.db.writer() as session:
            log_archives.drop(session, instance_id)
