"""Backups in an object store that another database service left there."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from trove_ng.common import cipher
from trove_ng.common.crypto import DecryptError
from trove_ng.common.secret import Secret
from trove_ng.db.repositories import backups
from trove_ng.operations import storage
from trove_ng.operations.storage import MANIFEST, RECORD, Record
from trove_ng.operations.work import StepFailed, Work


class Found(NamedTuple):
    """A backup in an object store."""

    region: str
    container: str
    prefix: str
    record: Record


#: bytes of a record at most: a thousand segments
_RECORD_LIMIT = 1024 * 1024
_UNREADABLE = "The backup is encrypted, and its key cannot be read here."
_OWN = re.compile(r"backup_([0-9a-f-]{36})/")


def find(work: Work, tenant_id: str, location: str) -> Found:
    """Return the backup that a location names, in any region of the cloud.

    :raises StepFailed: it is not the project's, there is none, or it cannot be used
    """
    for region in work.tools.clouds.object_regions():
        place = work.tools.clouds.objects_in(region).place(tenant_id, location)
        if place is None:
            continue
        container, name = place
        if not name.endswith(MANIFEST):
            break
        found = _read(work, tenant_id, region, container, name.removesuffix(MANIFEST))
        if found is None:
            raise StepFailed("There is no backup at the location.")
        return found
    raise StepFailed("The location is not one of a backup in the object store of the project.")


def url(work: Work, tenant_id: str, found: Found) -> str:
    """Return the location of a backup."""
    return work.tools.clouds.objects_in(found.region).object_url(
        tenant_id, found.container, found.prefix.rstrip("/") + MANIFEST)


def chain(work: Work, tenant_id: str, location: str) -> list[Found]:
    """Return the backup that a location names with all that it continues, the full one first.

    :raises StepFailed: one of them is not there or cannot be used, or they do not continue
        each other
    """
    links = [find(work, tenant_id, location)]
    while (above := links[0].record.parent) is not None:
        if len(links) >= work.tools.conf.backup_chain_limit:
            raise StepFailed(f"The backup continues more than {len(links) - 1} others.")
        parent = _above(work, tenant_id, links[0], above)
        _check_link(parent.record, links[0].record)
        links.insert(0, parent)
    if "parent" in links[0].record.stored.metadata:
        raise StepFailed("The record of the backup does not say which one it continues.")
    return links


def _above(work: Work, tenant_id: str, link: Found, location: str) -> Found:
    """Return what a backup continues: where its record says, else beside it.

    Whoever copies a chain to another cloud leaves the places in its records as they are.
    """
    for region in work.tools.clouds.object_regions():
        if work.tools.clouds.objects_in(region).place(tenant_id, location) is not None:
            return find(work, tenant_id, location)
    name = location.rpartition("/")[2]
    found = (_read(work, tenant_id, link.region, link.container, name.removesuffix(MANIFEST))
             if name.endswith(MANIFEST) else None)
    if found is None:
        raise StepFailed("The backup continues another one, which is not in the object store "
                         "of the project.")
    return found


def _check_link(parent: Record, child: Record) -> None:
    if (child.stored.strategy != parent.stored.strategy
            or child.stored.metadata.get("parent") != parent.stored.checksum):
        raise StepFailed("The backup does not continue the one that its record names.")


def _read(work: Work, tenant_id: str, region: str, container: str, begin: str) -> Found | None:
    content = work.tools.clouds.objects_in(region).read_object(
        tenant_id, container, begin + RECORD, _RECORD_LIMIT)
    if content is None:
        return None
    return Found(region, container, f"{begin}/", _parse(content, f"{begin}/"))


def _parse(content: bytes, begin: str) -> Record:
    try:
        record = msgspec.json.decode(content, type=Record)
    except msgspec.MsgspecError:
        raise StepFailed("The record of the backup cannot be read.") from None
    segments = record.stored.segments
    if record.version != 1 or not segments or not all(
            one.name.startswith(begin) for one in segments):
        raise StepFailed("The record of the backup cannot be read.")
    return record


def key(work: Work, tenant_id: str, found: Found) -> Secret | None:
    """Return the key that a backup is encrypted with, None if it is not.

    It is tried on the beginning of the data.

    :raises StepFailed: it is not known here, or is another one
    """
    if not found.record.encrypted:
        return None
    known = _own_key(work, tenant_id, found) or _transferred_key(work, tenant_id, found)
    first = found.record.stored.segments[0]
    begin = work.tools.clouds.objects_in(found.region).read_beginning(
        tenant_id, found.container, first.name, cipher.BEGINNING)
    if begin is None:
        raise StepFailed(f"The object {first.name} of the backup is missing, or empty.")
    if not cipher.fits(known, begin, found.record.stored.size):
        raise StepFailed("The backup is not encrypted with the key that is known of it.")
    return known


def _own_key(work: Work, tenant_id: str, found: Found) -> Secret | None:
    """Return the key of a backup that this service made, in any region, for the project."""
    ident = _OWN.fullmatch(found.prefix)
    if ident is None:
        return None
    with work.reader() as session:
        row = backups.get(session, ident[1], tenant_id)
    return storage.key(work, row) if row is not None else None


def _transferred_key(work: Work, tenant_id: str, found: Found) -> Secret:
    """Return the key that stands sealed beside a backup."""
    sealed, box = found.record.key, storage.transfer_box(work)
    if sealed is None:
        raise StepFailed("The backup is encrypted; its key is where it was made.")
    if box is None:
        raise StepFailed(_UNREADABLE)
    owners = [tenant_id, *(other for other, own in sorted(
        work.tools.conf.backup_foreign_projects.items()) if own == tenant_id)]
    for owner in owners:
        try:
            return Secret(box.open(sealed, storage.transfer_bound(owner, found.prefix)))
        except DecryptError:
            continue
    raise StepFailed(_UNREADABLE)
