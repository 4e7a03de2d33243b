"""Looking whether the store has the archived log that continues a backup."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from trove_ng.common.clock import isoformat
from trove_ng.db.models import Backup, LogArchive, LogPiece
from trove_ng.db.repositories import faults, log_archives
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.log_archive import Base, Part, gap, latest, run
from trove_ng.operations import storage
from trove_ng.operations.log_archives import base, note_range, parts, prefix
from trove_ng.operations.work import Work
from trove_ng.rpc import messages


class Found(NamedTuple):
    """What was found.

    :param number: of the parts that were looked at
    :param why: what is wrong with the first that is not what was stored; None: nothing is
    """

    number: int
    why: str | None


def look(work: Work, backup: Backup) -> Found | None:
    """Look at the objects of all log after a backup; None: no log continues it.

    What is wrong is written down: no restore uses such a part, until it is found to be good.
    """
    known = base(backup)
    if known is None:
        return None
    instance_id = backup.instance_id or ""
    with work.reader() as session:
        archive = log_archives.get(session, instance_id)
        all_parts = parts(session, instance_id, damaged=True)
        after = run(known, all_parts)
        pieces = log_archives.pieces(session, [one.id for one in after])
    if archive is None:
        return None
    missing = gap(known, all_parts, archive.number if archive.stream == known.stream else None)
    if not pieces and missing is None:
        return None
    why = _note(work, backup, known, _wrong(work, archive, pieces))
    if why is None and missing is not None:
        why = (f"The log from {missing[0]} up to before {missing[1]} is not there. "
               f"{_reach(known, after)}")
    return Found(len(pieces), why)


def _wrong(work: Work, archive: LogArchive, pieces: list[LogPiece]) -> dict[str, str | None]:
    """Return ids of parts → what is wrong with their objects, in their order."""
    store = work.tools.clouds.objects_in(archive.region_id)
    listed = store.list_objects(
        archive.tenant_id, archive.container, prefix(archive.instance_id))
    return {one.id: storage.find_wrong(
        store, archive.tenant_id, archive.container, listed,
        msgspec.convert(one.manifest, messages.StoredBackup)) for one in pieces}


@retry_on_db_error
def _note(work: Work, backup: Backup, known: Base,
          wrong: Mapping[str, str | None]) -> str | None:
    """Write what is wrong with parts, and until when the instance can be restored then."""
    instance_id, now = backup.instance_id or "", work.tools.clock.now()
    with work.writer() as session:
        archive = log_archives.get(session, instance_id, lock=True)
        if archive is None:
            return None
        news, first = False, None
        for ident, why in wrong.items():
            piece = session.get(LogPiece, ident)
            # it may have gone with its time meanwhile
            if piece is None:
                continue
            news = news or (why is not None and piece.damage is None)
            piece.damage = None if why is None else why[:255]
            first = first or why
        session.flush()
        note_range(session, archive)
        if first is None:
            return None
        said = f"{first} {_reach(known, parts(session, instance_id))}"
        if news:
            faults.add(session, instance_id, f"The archived log is damaged: {said} Later times "
                       "can be restored from later backups only. Make one.",
                       f"operation {work.id} ({work.action})", now)
        return said


def _reach(known: Base, found: list[Part]) -> str:
    end: datetime.datetime | None = latest(known, found)
    return "The backup cannot be brought to later times." if end is None else (
        f"The backup can be brought to times up to {isoformat(end)}Z only.")
