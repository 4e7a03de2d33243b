"""Accepting backups, and their deletion."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.views import backups as views
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotFound, NotSupported, UnprocessableEntity
from trove_ng.common.states import BACKUP_RUNNING, BackupState
from trove_ng.conf import quota
from trove_ng.datastores import base as engines
from trove_ng.db.models import Backup
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import backups, operations, quotas
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations import payloads


@retry_on_db_error
def create_backup(call: Call) -> dict[str, Any]:
    """Write a backup and the operation that makes it; return its view."""
    body = call.body["backup"]
    for name in ("parent_id", "incremental"):
        if body.get(name):
            raise NotSupported(f"backup.{name} is not supported.")
    with call.services.db.writer() as session:
        try:
            loaded = accept.load(session, call, body["instance"])
        except NotFound:
            raise NotFound.of("Instance", body["instance"]) from None
        accept.usable(call, loaded)
        instance = loaded.instance
        if not engines.get(loaded.manager).capabilities.backups:
            raise BadRequest("Validation error: backup.instance: the datastore does not offer "
                             "backups.")
        ident = new_id()
        backup = backups.add(session, Backup(
            id=ident, name=body["name"], description=body.get("description"),
            tenant_id=instance.tenant_id, instance_id=instance.id,
            datastore_version_id=instance.datastore_version_id, state=BackupState.NEW,
            container=body.get("swift_container") or call.services.conf.backup_swift_container,
            prefix=f"backup_{ident}/", region_id=instance.region_id,
            volume_size=instance.volume_size))
        accepted = call.services.requests.submit(
            session, action=payloads.BACKUP_CREATE, resource_type="backup", resource_id=ident,
            tenant_id=instance.tenant_id, context=call.context,
            payload=payloads.CreateBackup(), now=call.services.clock.now(), told=lambda: {
                "name": backup.name, "instance_id": instance.id,
                "description": backup.description, "parent_id": backup.parent_id})
        quotas.reserve(session, instance.tenant_id, accepted.id, {"backups": 1},
                       quota.defaults(call.services.conf))
        view = views.view(backups.get_view(session, backup.id, None))
        call.keep(session, {"backup": view}, accepted.id)
    wake(call, accepted.id)
    return view


@retry_on_db_error
def delete_backup(call: Call) -> None:
    """Begin to delete a backup, and those that continue it; asking again is no error."""
    begun: list[str] = []
    with call.services.db.writer() as session:
        ident = call.params["id"]
        found = backups.get(session, ident, call.owner, lock=True)
        if found is None:
            raise NotFound.of("Backup", ident)
        call.authorize_owner(found.tenant_id)
        in_use = {str(one.get("backup_id")) for one in operations.live_payloads(
            session, found.tenant_id, payloads.INSTANCE_CREATE)}
        _delete(session, call, found, in_use, begun)
    for operation_id in begun:
        wake(call, operation_id)


def _delete(session: Session, call: Call, backup: Backup, in_use: set[str],
            begun: list[str]) -> None:
    if backup.state == BackupState.DELETING:
        return
    if backup.state in BACKUP_RUNNING:
        raise UnprocessableEntity(f"Backup {backup.id} cannot be deleted now: it is "
                                  f"{backup.state}.")
    if backup.id in in_use:
        raise UnprocessableEntity(
            f"Backup {backup.id} cannot be deleted now: an instance is restored from it.")
    for child in backups.children(session, backup.id):
        _delete(session, call, child, in_use, begun)
    backup.state = BackupState.DELETING
    backup.updated = call.services.clock.now()
    accepted = call.services.requests.submit(
        session, action=payloads.BACKUP_DELETE, resource_type="backup", resource_id=backup.id,
        tenant_id=backup.tenant_id, context=call.context, payload=payloads.DeleteBackup(),
        now=call.services.clock.now())
    begun.append(accepted.id)
