"""Making the backup that the archived log of a new source begins with, which nobody asks for.

That one is wanted is written when the instance becomes the source; it begins when the set is
settled and the log is archived, since log from before may not be kept.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.common.context import of_its_own
from trove_ng.common.errors import TroveError
from trove_ng.common.states import BACKUP_RUNNING, EventKind
from trove_ng.datastores.base import Datastore
from trove_ng.db.models import Backup, LogArchive
from trove_ng.db.repositories import archive_bases, backups, events, log_archives
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.domain.log_archive import continues
from trove_ng.operations import readiness
from trove_ng.operations.backups import Backups, Wanted, is_whole
from trove_ng.operations.capabilities import effective
from trove_ng.operations.log_archives import backups_of, base, parts
from trove_ng.operations.requests import Requests
from trove_ng.operations.unasked import Unasked, work_on

_NO_BASE = "No backup is there that the archived log continues"
_WHY = ("Made by the service when the instance became the source: the log that is archived "
        "from then on continues it.")
_TOLD = 512


class Bases(Unasked):
    """Begins the backups that archives wait for, and removes them later; any number may, in
    any process.

    :param datastores: declarations by manager name
    """

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock, requests: Requests,
                 wake: Callable[[str], None], datastores: Mapping[str, Datastore]) -> None:
        super().__init__(conf, db, clock, requests, wake)
        self._backups = Backups(conf, requests)
        self._datastores = datastores

    def run(self) -> None:
        """Look once at what is wanted, and begin what may begin."""
        with self._db.reader() as session:
            found = archive_bases.wanted(session)
        for ident in found:
            work_on(f"the base of the archive of instance {ident}",
                    functools.partial(self._look, ident), self._wake)

    def clean(self) -> None:
        """Begin to delete those that no restore needs."""
        with self._db.reader() as session:
            found = archive_bases.superseded(session, self._clock.now())
        for ident in found:
            work_on(f"backup {ident}", functools.partial(self._delete, ident), self._wake)

    @retry_on_db_error
    def _look(self, instance_id: str) -> list[str]:
        """Begin a backup, or forget that one is wanted; return the operations that begin."""
        now = self._clock.now()
        with self._db.writer() as session:
            found = readiness.load(session, instance_id, None, now)
            archive = log_archives.get(session, instance_id, lock=True)
            # another one may have been faster
            if (found is None or archive is None or archive.base_since is None
                    or not archive.enabled):
                return []
            if archive.base_id is not None:
                self._watch(session, archive, now)
                return []
            if archive.shipped_at is not None and _has_base(session, archive):
                archive.base_since = None
                return []
            return self._begin(session, found, archive, now)

    def _watch(self, session: Session, archive: LogArchive, now: datetime.datetime) -> None:
        """Want nothing more when the backup has ended; tell when it is of no use."""
        made = session.get(Backup, archive.base_id)
        if made is not None and made.state in BACKUP_RUNNING:
            return
        if made is None or not is_whole(made) or base(made) is None:
            why = (made.error if made is not None else None) or "it does not tell where it ends."
            self._tell(session, archive, f"Backup {archive.base_id} was made for that: {why}", now)
        archive.base_since, archive.base_id = None, None

    def _begin(self, session: Session, found: readiness.Loaded, archive: LogArchive,
               now: datetime.datetime) -> list[str]:
        instance, waited = found.instance, now - (archive.base_since or now)
        why = readiness.why_not(found, self._conf.agent_heartbeat_expiry)
        if why is None and archive.shipped_at is None:
            why = archive.error or "Its log is not archived yet."
        if why is not None:
            if waited > datetime.timedelta(seconds=self._conf.schedule_patience):
                self._tell(session, archive, why, now)
            return []
        engine = effective(session, instance.datastore_version_id,
                           self._datastores[found.manager])
        try:
            with session.begin_nested():
                backup, accepted = self._backups.begin(session, instance, engine, Wanted(
                    name=f"archive-base-{instance.name}"[:255], description=_WHY,
                    driver=backups.SWIFT, container=archive.container, for_archive=True),
                    of_its_own(instance.tenant_id, instance.user_id), now)
        except StoreAway:
            raise
        except TroveError as err:
            self._tell(session, archive, err.message, now)
            return []
        archive.base_id, archive.base_refused = backup.id, ""
        events.add_for_instance(
            session, EventKind.ARCHIVE_BASE, instance.id,
            f"Backup {backup.id} is made: it can be brought to later times.", now)
        return [accepted.id]

    @staticmethod
    def _tell(session: Session, archive: LogArchive, why: str, now: datetime.datetime) -> None:
        """Tell why there is no backup, unless that was told last."""
        if archive.base_refused == why[:_TOLD]:
            return
        archive.base_refused = why[:_TOLD]
        events.add_for_instance(
            session, EventKind.ARCHIVE_BASE, archive.instance_id,
            f"{_NO_BASE}, and there is none until the next full one: {why}", now)

    @retry_on_db_error
    def _delete(self, backup_id: str) -> list[str]:
        with self._db.writer() as session:
            backup = backups.get(session, backup_id, lock=True)
            # who continues it locks it first
            if backup is None or backups.children(session, backup_id):
                return []
            return self._attempt(session, f"backup {backup_id}", lambda: (
                self._backups.begin_delete(
                    session, backup, of_its_own(backup.tenant_id), self._clock.now()))) or []


def _has_base(session: Session, archive: LogArchive) -> bool:
    """Return whether somebody made a backup that the log continues without a gap."""
    found = parts(session, archive.instance_id)
    return any(continues(one, found, archive.stream, archive.number)
               for one in backups_of(session, archive.instance_id))
