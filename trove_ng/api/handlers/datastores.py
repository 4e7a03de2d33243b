"""Datastores and their versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.api.views import datastores as views
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.db.models import Datastore, DatastoreVersion
from trove_ng.db.repositories import datastores


def index(call: Call) -> dict[str, Any]:
    """List datastores with their versions."""
    limit, marker = call.limit(), call.marker()

    def read() -> Any:
        with call.services.db.connection() as reader:
            return datastores.list_with_versions(
                reader, call.owner, limit=limit, marker=marker)

    page, versions, more = call.services.datastores.get((call.owner, limit, marker), read)
    items = [views.datastore(call, row, versions.get(row.id, [])) for row in page]
    return call.page("datastores", items, items[-1]["id"] if more and items else None)


def show(call: Call) -> dict[str, Any]:
    """Show a datastore by id or name."""
    with call.services.db.reader() as session:
        found = find(session, call, call.params["datastore"])
        versions = datastores.versions_of(session, found.id, call.owner)
        if not versions and not call.context.is_admin:
            raise NotFound.of("Datastore", call.params["datastore"])
        return {"datastore": views.datastore(call, found, versions)}


def versions(call: Call) -> dict[str, Any]:
    """List the versions of a datastore."""
    limit, marker = call.limit(), call.marker()
    with call.services.db.reader() as session:
        found = find(session, call, call.params["datastore"])
        rows = datastores.versions_of(session, found.id, call.owner)
        if not rows and not call.context.is_admin:
            raise NotFound.of("Datastore", call.params["datastore"])
    rows.sort(key=lambda row: row.id)
    rows = [row for row in rows if marker is None or row.id > marker]
    more = rows[limit - 1].id if len(rows) > limit else None
    items = [views.version(call, row, datastore_id=found.id) for row in rows[:limit]]
    return call.page("versions", items, more)


def version(call: Call) -> dict[str, Any]:
    """Show a version by id or name."""
    with call.services.db.reader() as session:
        found, datastore = find_version(session, call)
        return {"version": views.version(call, found, datastore_id=datastore.id)}


def version_by_id(call: Call) -> dict[str, Any]:
    """Show a version by its id alone."""
    with call.services.db.reader() as session:
        found, datastore = find_version(session, call)
        return {"version": views.version(call, found, datastore_id=datastore.id)}


def find(session: Session, call: Call, ident: str) -> Datastore:
    """Return a datastore by id or name.

    :raises NotFound: there is none
    """
    found = datastores.find(session, ident)
    if found is None:
        raise NotFound.of("Datastore", ident)
    return found


def find_version(session: Session, call: Call) -> tuple[DatastoreVersion, Datastore]:
    """Return the version that the path names.

    :raises NotFound: there is none that the caller sees
    :raises BadRequest: the name fits several versions of other numbers
    """
    ident = call.params["id"]
    datastore_id = None
    if "datastore" in call.params:
        datastore_id = find(session, call, call.params["datastore"]).id
    rows = datastores.find_versions(session, ident, call.owner, datastore_id=datastore_id)
    if datastore_id is None:
        rows = [row for row in rows if row[0].id == ident]
    if not rows:
        raise NotFound.of("Datastore version", ident)
    if len(rows) > 1:
        raise BadRequest(f"Several versions have the name {ident}; give an id.")
    return rows[0]
