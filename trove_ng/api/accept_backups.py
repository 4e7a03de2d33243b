"""Accepting backups, and their deletion."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views import backups as views
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.db.models import Backup
from trove_ng.db.repositories import backups, datastores, operations
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations import verification
from trove_ng.operations.backups import Backups, Import, Wanted


@retry_on_db_error
def create_backup(call: Call) -> dict[str, Any]:
    """Write a backup and the operation that makes it; return its view."""
    body, services = call.body["backup"], call.services
    wanted = Wanted(
        name=body["name"], description=body.get("description"),
        driver=body.get("storage_driver"), container=body.get("swift_container"),
        parent_id=body.get("parent_id"),
        incremental=bool(body.get("incremental")))
    with services.db.writer() as session:
        try:
            loaded = accept.load(session, call, body["instance"])
        except NotFound:
            raise NotFound.of("Instance", body["instance"]) from None
        accept.usable(call, loaded)
        instance = loaded.instance
        engine = effective_versions.engine(
            session, instance.datastore_version_id, loaded.manager)
        backup, accepted = Backups(services.conf, services.requests).begin(
            session, instance, engine, wanted, call.context, services.clock.now())
        view = views.view(backups.get_view(session, backup.id, None))
        call.keep(session, {"backup": view}, accepted.id)
    wake(call, accepted.id)
    return view


@retry_on_db_error
def import_backup(call: Call) -> dict[str, Any]:
    """Write a backup that is in the object store already, and the operation that looks at it."""
    body, services = call.body["backup"], call.services
    source = body["restore_from"]
    with services.db.writer() as session:
        rows = datastores.find_versions(
            session, source["local_datastore_version_id"], call.context.project_id)
        if len(rows) != 1:
            raise NotFound.of("Datastore version", source["local_datastore_version_id"])
        version = rows[0][0]
        if not effective_versions.engine(
                session, version.id, version.manager).capabilities.backups:
            raise BadRequest("Validation error: backup.restore_from.local_datastore_version_id: "
                             "the datastore does not offer backups.")
        backup, accepted = Backups(services.conf, services.requests).begin_import(
            session, Import(
                name=body["name"], description=body.get("description"),
                location=source["remote_location"], version_id=version.id,
                volume_size=math.ceil(float(source["size"]))),
            call.context, services.clock.now())
        view = views.view(backups.get_view(session, backup.id, None))
        call.keep(session, {"backup": view}, accepted.id)
    wake(call, accepted.id)
    return view


@retry_on_db_error
def verify_backup(call: Call) -> None:
    """Begin to restore a backup where nobody sees it, and to look through it."""
    services = call.services
    with services.db.writer() as session:
        found = _locked(session, call)
        accepted = verification.begin(
            session, services.conf, services.requests, found, call.context,
            services.clock.now())
        call.keep(session, None, accepted.id)
    wake(call, accepted.id)


@retry_on_db_error
def delete_backup(call: Call) -> None:
    """Begin to delete a backup, and those that continue it; asking again is no error."""
    services = call.services
    with services.db.writer() as session:
        found = _locked(session, call)
        begun = Backups(services.conf, services.requests).begin_delete(
            session, found, call.context, services.clock.now())
        running = operations.live(session, found.id)
        call.operation_id = running.id if running is not None else None
    for operation_id in begun:
        wake(call, operation_id)


def _locked(session: Session, call: Call) -> Backup:
    """Lock the backup of the path, and return it.

    :raises NotFound: the caller knows of none
    """
    ident = call.params["id"]
    return call.own("Backup", ident, backups.get(session, ident, call.owner, lock=True))
