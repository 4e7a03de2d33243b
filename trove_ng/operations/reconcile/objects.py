"""Objects of backups that are deleted, or failed: an agent that was cut off stored them late.

Only objects of our naming are looked at, in the containers of such backups, as long as an
agent's leave to write may have been used.  Segments that have a record beside them were put there
by somebody: they may be taken over.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from trove_ng.common.states import BackupState
from trove_ng.db.repositories import reconciliation
from trove_ng.db.rows import AnyRow
from trove_ng.operations import storage
from trove_ng.operations.reconcile.findings import Finding, Kind, Repair
from trove_ng.operations.reconcile.look import Parts, when

if TYPE_CHECKING:
    from trove_ng.cloud.swift import ObjectStore

_OURS = re.compile(r"backup_([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(/.+|\.manifest|\.json)")
_BEGIN = "backup_"


class Place(NamedTuple):
    """A container of a project; the region is None for the configured one."""

    tenant_id: str
    region: str | None
    container: str


def look(parts: Parts) -> list[Finding]:
    """Return the objects of backups that nobody needs, as a finding for each backup.

    :raises trove_ng.cloud.errors.CloudError: an object store does not answer
    """
    with parts.db.reader() as session:
        places = [Place(*row) for row in reconciliation.late_places(session, _since(parts))]
    found: list[Finding] = []
    for place in places:
        groups = _groups(_store(parts, place).list_dated(
            place.tenant_id, place.container, _BEGIN))
        with parts.db.reader() as session:
            rows = reconciliation.objects_of(session, groups)
        for ident, names in sorted(groups.items()):
            row = rows.get(ident)
            if row is not None and _place(row) == place and is_late(parts, row, names):
                found.append(_finding(row))
    return found


def _finding(row: AnyRow) -> Finding:
    return Finding(
        Kind.LEFTOVER, f"The backup is {'deleted' if row.deleted else row.state}, objects of it "
        "were left behind.", row.instance_id, row.tenant_id, "objects",
        f"{row.container}/{row.prefix}", Repair.DELETE_OBJECTS, before=row.id,
        region=row.region_id)


def delete(parts: Parts, finding: Finding) -> bool:
    """Delete the objects of a finding; False if they are not to be deleted any more.

    :raises trove_ng.cloud.errors.CloudError: the object store does not do it
    """
    ident = finding.before or ""
    with parts.db.reader() as session:
        row = reconciliation.objects_of(session, [ident]).get(ident)
    if row is None:
        return False
    place = _place(row)
    store = _store(parts, place)
    names = _groups(store.list_dated(place.tenant_id, place.container, row.prefix.rstrip("/"))
                    ).get(ident, {})
    if not names or not is_late(parts, row, names):
        return False
    store.delete_objects(place.tenant_id, place.container, sorted(names))
    return True


def is_late(parts: Parts, row: AnyRow, names: Mapping[str, datetime.datetime]) -> bool:
    """Return whether objects are what an agent stored late, and nobody uses.

    :param row: of the backup, see :func:`reconciliation.objects_of`
    :param names: name → when it was stored, of all of the backup's objects
    """
    gone = row.deleted or row.state == BackupState.FAILED
    if not gone or row.live or row.used or row.prefix != storage.prefix(row.id):
        return False
    if row.worked_at is not None and row.worked_at >= when(parts).settled:
        return False
    now = parts.clock.now()
    young = now - datetime.timedelta(seconds=parts.conf.orphan_objects_age)
    # later nobody could store them but their owner
    leave = row.created + datetime.timedelta(seconds=parts.conf.backup_grant_lifetime)
    # a record of data that are not there is of no use: nobody can take that over
    data = any(name.startswith(row.prefix) for name in names)
    return all((name.startswith(row.prefix) or not data) and stored < young and stored <= leave
               for name, stored in names.items())


def _since(parts: Parts) -> datetime.datetime:
    """Return when backups were made whose agents may have stored something late."""
    conf = parts.conf
    return parts.clock.now() - datetime.timedelta(
        seconds=2 * conf.backup_grant_lifetime + conf.orphan_objects_age)


def _groups(listed: Mapping[str, datetime.datetime],
            ) -> dict[str, dict[str, datetime.datetime]]:
    """Return id of a backup → its objects."""
    found: dict[str, dict[str, datetime.datetime]] = {}
    for name, stored in listed.items():
        ours = _OURS.fullmatch(name)
        if ours is not None:
            found.setdefault(ours[1], {})[name] = stored
    return found


def _place(row: AnyRow) -> Place:
    return Place(row.tenant_id, row.region_id, row.container)


def _store(parts: Parts, place: Place) -> ObjectStore:
    return parts.clouds.objects_in(place.region)
