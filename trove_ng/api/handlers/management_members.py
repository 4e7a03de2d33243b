"""Who sees a datastore version, as operators say."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.api.effective_versions import find_datastore, named
from trove_ng.api.schemas.common import PROJECT_ID
from trove_ng.common.errors import BadRequest
from trove_ng.db.models import DatastoreVersion, DatastoreVersionMember
from trove_ng.db.repositories import datastore_admin as admin
from trove_ng.db.repositories import version_members as members
from trove_ng.db.session import retry_on_db_error

_PROJECT = re.compile(PROJECT_ID)


@retry_on_db_error
def set_visibility(call: Call) -> None:
    """Say who sees a version."""
    with call.services.db.writer() as session:
        version = _version(session, call, lock=True)
        version.visibility = call.body["datastore_version"]["visibility"]
    call.services.datastores.forget()


def index(call: Call) -> dict[str, Any]:
    """List the members of a version."""
    with call.services.db.reader() as session:
        rows = members.of_version(session, _version(session, call).id)
    return {"datastore_version_members": [_view(row) for row in rows]}


def of_project(call: Call) -> dict[str, Any]:
    """List what a project is a member of, among the versions of a datastore."""
    if not _PROJECT.fullmatch(call.params["project_id"]):
        raise BadRequest("Validation error: project_id is not a project's id.")
    with call.services.db.reader() as session:
        datastore = find_datastore(session, call.params["datastore"])
        rows = members.of_project(session, datastore.id, call.params["project_id"])
    return {"datastore_version_members": [_view(row) for row in rows]}


def show(call: Call) -> dict[str, Any]:
    """Show a member."""
    with call.services.db.reader() as session:
        row = members.get(session, _version(session, call).id, call.params["member_id"])
    return {"datastore_version_member": _view(row)}


@retry_on_db_error
def create(call: Call) -> dict[str, Any]:
    """Make a project a member of a version; it counts while the version is private."""
    with call.services.db.writer() as session:
        version = _version(session, call, lock=True)
        answer = {"datastore_version_member": _view(
            members.add(session, version.id, call.body["member"]))}
        call.keep(session, answer, None)
    call.services.datastores.forget()
    return answer


@retry_on_db_error
def delete(call: Call) -> None:
    """Make a project a member no more; its instances stay."""
    with call.services.db.writer() as session:
        version = _version(session, call, lock=True)
        session.delete(members.get(session, version.id, call.params["member_id"]))
    call.services.datastores.forget()


def _version(session: Session, call: Call, *, lock: bool = False) -> DatastoreVersion:
    found, _ = named(session, call)
    return admin.get_version(session, found.id, lock=True)[0] if lock else found


def _view(row: DatastoreVersionMember) -> dict[str, str]:
    return {"id": row.id, "datastore_version_id": row.datastore_version_id,
            "member": row.tenant_id}
