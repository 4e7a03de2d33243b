"""Where backups are kept, and the guests' leave to use it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trove_ng.cloud.types import Grant
from trove_ng.common.crypto import DecryptError, SecretBox
from trove_ng.common.secret import Secret
from trove_ng.conf.object_store import guest_url
from trove_ng.db.models import Backup
from trove_ng.db.repositories import backups, datastores
from trove_ng.db.repositories.sealed import BACKUPS
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages

if TYPE_CHECKING:
    from trove_ng.cloud.swift import ObjectStore


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the objects of a backup, for who knows no more than them.

    :param datastore_version: its number, as ``10.11``
    :param parent: location of the backup that it continues
    :param key: what it is encrypted with, sealed for services that share
        ``backup_transfer_keys`` with the one that made it
    """

    version: int = 1
    datastore: str = ""
    datastore_version: str = ""
    volume_size: int | None = None
    parent: str | None = None
    encrypted: bool = False
    key: str | None = None
    stored: messages.StoredBackup


#: what ``backup_transfer_keys`` are used for here
_TRANSFER = "backup transfer"
#: what names of the objects beside the segments end with
MANIFEST, RECORD = ".manifest", ".json"


def store(work: Work, backup: Backup) -> ObjectStore:
    """Return the object store that a backup is in."""
    return work.tools.clouds.objects_in(backup.region_id)


def is_own(backup: Backup) -> bool:
    """Return whether the objects of a backup were made for it."""
    return backup.prefix == prefix(backup.id)


def prefix(backup_id: str) -> str:
    """Return what the names of a backup's segments begin with."""
    return f"backup_{backup_id}/"


def plain(stored: messages.StoredBackup) -> dict[str, Any]:
    """Return what a backup consists of as JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(stored)
    return values


def write_record(work: Work, backup: Backup, parent: str | None) -> None:
    """Store the record of a backup beside it.

    :param parent: location of the backup that it continues
    """
    with work.reader() as session:
        version = datastores.get_version(session, backup.datastore_version_id or "")
    record = Record(
        datastore=version[1].name if version else "",
        datastore_version=version[0].version if version else "",
        volume_size=backup.volume_size, parent=parent,
        encrypted=backup.sealed_key is not None, key=transfer_key(work, backup),
        stored=stored(backup))
    store(work, backup).write_object(
        backup.tenant_id, location(backup)[0],
        manifest_name(backup).removesuffix(MANIFEST) + RECORD, msgspec.json.encode(record))


def location(backup: Backup) -> tuple[str, str]:
    """Return container and object prefix of a backup.

    :raises StepFailed: it has none
    """
    if not backup.container or not backup.prefix:
        raise StepFailed(f"Backup {backup.id} has no location.")
    return backup.container, backup.prefix


def grant(work: Work, backup: Backup, *, write: bool) -> messages.ObjectStoreGrant:
    """Return the leave to read, or write, the objects of one backup."""
    container, prefix = location(backup)
    objects = store(work, backup)
    if write:
        objects.ensure_container(backup.tenant_id, container)
    made = objects.grant(backup.tenant_id, container, prefix, write=write,
                       lifetime_s=work.tools.conf.backup_grant_lifetime)
    return guest_grant(made, guest_url(work.tools.conf, backup.region_id))


def guest_grant(made: Grant, start: str | None) -> messages.ObjectStoreGrant:
    """Return a leave as a guest uses it.

    :param start: start of the object store's URLs, before /v1, where servers reach it in
        another way than the catalog says
    """
    url = made.container_url
    if start:
        url = start.rstrip("/") + url[url.rindex("/v1/"):]
    return messages.ObjectStoreGrant(
        container_url=url, prefix=made.prefix, get_query=made.get_query,
        put_query=made.put_query, expires_at=made.expires_at)


def public_url(work: Work, backup: Backup) -> str:
    """Return the URL of the object that stands for a backup, as its owner sees it."""
    container, _ = location(backup)
    return store(work, backup).object_url(
        backup.tenant_id, container, manifest_name(backup))


def stored(backup: Backup) -> messages.StoredBackup:
    """Return what a completed backup consists of.

    :raises StepFailed: the record is damaged
    """
    try:
        return msgspec.convert(backup.manifest, messages.StoredBackup)
    except msgspec.ValidationError:
        raise StepFailed(f"The record of backup {backup.id} is damaged.") from None


def damage(work: Work, backup: Backup) -> str | None:
    """Return what is wrong with the objects of a backup, None if they are what was stored."""
    container, prefix = location(backup)
    objects = store(work, backup)
    return find_wrong(objects, backup.tenant_id, container, objects.list_objects(
        backup.tenant_id, container, prefix), stored(backup))


def find_wrong(objects: ObjectStore, tenant_id: str, container: str,
               listed: Mapping[str, tuple[int, str]], record: messages.StoredBackup,
               ) -> str | None:
    """Return what is wrong with objects, None if they are what was stored.

    :param listed: what a list of the container says of them
    """
    for one in record.segments:
        if listed.get(one.name) == (one.size, one.md5):
            continue
        # a list may be old
        found = objects.head_object(tenant_id, container, one.name)
        if found is None:
            return f"{one.name} is missing."
        if found != (one.size, one.md5):
            return f"{one.name} is not what was stored."
    return None


def find_damage(work: Work, chain: Sequence[Backup]) -> tuple[Backup, str] | None:
    """Return the first backup whose objects are not what was stored, and what is wrong.

    It is written down: nothing is restored from it, or continues it, any more.
    """
    for one in chain:
        found = damage(work, one)
        if found is not None:
            with work.writer() as session:
                backups.note_corrupt(session, one.id, found)
            return one, found
    return None


def new_key() -> Secret:
    """Return a new key for a backup."""
    return Secret(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def seal_key(work: Work, backup_id: str, key: Secret) -> str:
    """Return the key of a backup, sealed for its row."""
    return work.tools.key_box.seal(key.reveal(), BACKUPS.bound(backup_id))


def transfer_box(work: Work) -> SecretBox | None:
    """Return what seals keys for other services of the operator; None: there are none."""
    shared = work.tools.conf.backup_transfer_keys
    return SecretBox(shared, _TRANSFER) if shared else None


def transfer_bound(tenant_id: str, prefix: str) -> str:
    """Return what a key is sealed for that stands beside a backup.

    Objects can be copied by whoever can read them; the key goes to their owner's project only.
    """
    return f"{tenant_id}/{prefix}"


def transfer_key(work: Work, backup: Backup) -> str | None:
    """Return the key of a backup as it may stand beside it, sealed; None: it may not, or
    there is none."""
    found, box = key(work, backup), transfer_box(work)
    if found is None or box is None:
        return None
    return box.seal(found.reveal(), transfer_bound(backup.tenant_id, location(backup)[1]))


def key(work: Work, backup: Backup) -> Secret | None:
    """Return the key that a backup is encrypted with, None if it is not.

    :raises StepFailed: it cannot be read
    """
    if backup.sealed_key is None:
        return None
    try:
        return Secret(work.tools.key_box.open(backup.sealed_key, BACKUPS.bound(backup.id)))
    except DecryptError:
        raise StepFailed(f"The key of backup {backup.id} cannot be read.") from None


def manifest_name(backup: Backup) -> str:
    """Return the name of the object that stands for all segments of a backup."""
    return location(backup)[1].rstrip("/") + MANIFEST
