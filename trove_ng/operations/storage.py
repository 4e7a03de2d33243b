"""Where backups are kept, and the guests' leave to use it."""

from __future__ import annotations

import base64
import secrets

import msgspec

from trove_ng.cloud.types import Grant
from trove_ng.common.crypto import DecryptError
from trove_ng.common.secret import Secret
from trove_ng.db.models import Backup
from trove_ng.db.repositories import backups
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages


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
    store = work.tools.clouds.objects
    if write:
        store.ensure_container(backup.tenant_id, container)
    made = store.grant(backup.tenant_id, container, prefix, write=write,
                       lifetime_s=work.tools.conf.backup_grant_lifetime)
    return guest_grant(made, work.tools.conf.guest_object_store_url)


def guest_grant(made: Grant, guest_url: str | None) -> messages.ObjectStoreGrant:
    """Return a leave as a guest uses it.

    :param guest_url: start of the object store's URLs, before /v1, where servers reach it in
        another way than the catalog says
    """
    url = made.container_url
    if guest_url:
        url = guest_url.rstrip("/") + url[url.index("/v1/"):]
    return messages.ObjectStoreGrant(
        container_url=url, prefix=made.prefix, get_query=made.get_query,
        put_query=made.put_query, expires_at=made.expires_at)


def public_url(work: Work, backup: Backup) -> str:
    """Return the URL of the object that stands for a backup, as its owner sees it."""
    container, _ = location(backup)
    return work.tools.clouds.objects.object_url(
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
    store = work.tools.clouds.objects
    listed = store.list_objects(backup.tenant_id, container, prefix)
    for one in stored(backup).segments:
        if listed.get(one.name) == (one.size, one.md5):
            continue
        # a list may be old
        found = store.head_object(backup.tenant_id, container, one.name)
        if found is None:
            return f"{one.name} is missing."
        if found != (one.size, one.md5):
            return f"{one.name} is not what was stored."
    return None


def seal_key(work: Work, backup_id: str) -> str:
    """Return a new key for a backup, sealed for its row."""
    return work.tools.key_box.seal(
        base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), backups.bound(backup_id))


def key(work: Work, backup: Backup) -> Secret | None:
    """Return the key that a backup is encrypted with, None if it is not.

    :raises StepFailed: it cannot be read
    """
    if backup.sealed_key is None:
        return None
    try:
        return Secret(work.tools.key_box.open(backup.sealed_key, backups.bound(backup.id)))
    except DecryptError:
        raise StepFailed(f"The key of backup {backup.id} cannot be read.") from None


def manifest_name(backup: Backup) -> str:
    """Return the name of the object that stands for all segments of a backup."""
    return f"{location(backup)[1].rstrip('/')}.manifest"
