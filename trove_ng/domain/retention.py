"""Which backups of a schedule are kept."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from trove_ng.common.states import BackupState
from trove_ng.db.models import Backup


def expendable(found: Sequence[Backup], keep_count: int | None, keep_days: int | None,
               now: datetime.datetime) -> list[str]:
    """Return the ids of backups that are not kept any longer, the newest first.

    A good one is not kept if there are ``keep_count`` newer ones, or if it is older than
    ``keep_days``; but the newest is always kept, and all that a kept one continues.  One that
    failed is kept until a later one is good.  One that continues a backup which cannot be
    restored is not good.

    :param found: the schedule's backups that have ended, the newest first
    """
    rows = {one.id: one for one in found}
    good = [one for one in found if _is_good(one, rows)]
    oldest = None if keep_days is None else now - datetime.timedelta(days=keep_days)
    kept = {one.id for place, one in enumerate(good) if not place or (
        (keep_count is None or place < keep_count)
        and (oldest is None or one.created >= oldest))}
    if good:
        kept |= {one.id for one in found if one not in good and one.created > good[0].created}
    else:
        kept |= {one.id for one in found}
    parents = {ident: one.parent_id for ident, one in rows.items()}
    for ident in list(kept):
        parent = parents.get(ident)
        while parent is not None and parent not in kept:
            kept.add(parent)
            parent = parents.get(parent)
    return [one.id for one in found if one.id not in kept]


def _is_good(backup: Backup, rows: Mapping[str, Backup]) -> bool:
    """Return whether a backup, and all that it continues among the rows, can be restored."""
    one: Backup | None = backup
    while one is not None and one.state == BackupState.COMPLETED:
        one = rows.get(one.parent_id or "")
    return one is None
