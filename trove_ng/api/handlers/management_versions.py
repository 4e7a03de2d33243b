"""Datastores and their versions, as operators register them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.effective_versions import find_datastore
from trove_ng.api.views.datastores import management
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.datastores import base as engines
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import datastore_admin as admin
from trove_ng.db.repositories import datastores
from trove_ng.db.session import retry_on_db_error


def index(call: Call) -> dict[str, Any]:
    """List all versions."""
    with call.services.db.reader() as session:
        rows = admin.versions(session, limit=call.limit(), marker=call.marker())
        return call.listed("versions", rows, lambda row: management(*row))


def show(call: Call) -> dict[str, Any]:
    """Show a version."""
    with call.services.db.reader() as session:
        return {"version": management(*admin.get_version(session, call.params["id"]))}


def create(call: Call) -> dict[str, Any]:
    """Register a version; its datastore is made if there is none."""
    body = call.body["version"]
    name = _either(body, "datastore_name", "datastore")
    if name is None:
        raise BadRequest("Validation error: version.datastore_name is required.")
    row = DatastoreVersion(
        name=body["name"], version=body.get("version") or body["name"], manager="",
        active=body.get("active", True), packages="")
    _set(row, body, "version.")
    if not row.manager:
        raise BadRequest("Validation error: version.datastore_manager is required.")
    _check_image(call, row, "version.")
    _add(call, row, name, body.get("default", False))
    call.services.datastores.forget()
    return {}


@retry_on_db_error
def _add(call: Call, wanted: DatastoreVersion, datastore_name: str, default: bool) -> None:
    row = DatastoreVersion(**{column.name: getattr(wanted, column.name)
                              for column in DatastoreVersion.__table__.columns
                              if getattr(wanted, column.name) is not None})
    with call.services.db.writer() as session:
        datastore = admin.make_datastore(session, datastore_name)
        row.datastore_id = datastore.id
        admin.add_version(session, row)
        if default:
            admin.set_default(datastore, row, True)
        call.keep(session, {}, None)


@retry_on_db_error
def update(call: Call) -> dict[str, Any]:
    """Change a version."""
    body = call.body
    if {"image", "image_tags"} & body.keys():
        with call.services.db.reader() as session:
            row, _ = admin.get_version(session, call.params["id"])
            session.expunge(row)
        _set(row, body)
        # the cloud is asked while nothing is locked
        _check_image(call, row)
    with call.services.db.writer() as session:
        found, datastore = admin.get_version(session, call.params["id"], lock=True)
        _set(found, body)
        if "name" in body:
            found.name = body["name"]
            admin.check_name(session, found)
        found.active = body.get("active", found.active)
        if "default" in body:
            admin.set_default(datastore, found, body["default"])
    call.services.datastores.forget()
    return {}


@retry_on_db_error
def delete(call: Call) -> dict[str, Any]:
    """Delete a version that nothing is made of."""
    with call.services.db.writer() as session:
        row, datastore = admin.get_version(session, call.params["id"], lock=True)
        admin.delete_version(session, row, datastore, call.services.clock.now())
    call.services.datastores.forget()
    return {}


@retry_on_db_error
def delete_datastore(call: Call) -> None:
    """Delete a datastore that has no versions."""
    with call.services.db.writer() as session:
        found = admin.make_datastore(
            session, find_datastore(session, call.params["datastore"]).name)
        admin.delete_datastore(session, found, call.services.clock.now())
    call.services.datastores.forget()


def _either(body: Mapping[str, Any], name: str, other: str) -> Any:
    """Return a field that has two names, None if there is neither.

    :raises BadRequest: both are there and differ
    """
    if name in body and other in body and body[name] != body[other]:
        raise BadRequest(f"Validation error: {name} and {other} are not the same.")
    return body.get(name, body.get(other))


def _set(row: DatastoreVersion, body: Mapping[str, Any], place: str = "") -> None:
    """Write fields of a body to a row, but not those that concern other rows."""
    manager = _either(body, "datastore_manager", "manager")
    if manager is not None:
        engines.get(manager)
        row.manager = manager
    if "image" in body:
        row.image_id = body["image"] or None
    if "image_tags" in body:
        row.image_tags = ",".join(body["image_tags"] or ()) or None
    if "packages" in body:
        row.packages = _packages(body["packages"], f"{place}packages")
    for name, instead in _NOT_HERE.items():
        if body.get(name):
            raise BadRequest(f"Validation error: {place}{name} cannot be set: {instead}.")
    if "visibility" in body:
        row.visibility = body["visibility"]


#: what other releases let a version name, → what it is here
_NOT_HERE = {
    "registry_ext": "a manager of one's own is an entry point of the group "
                    "trove_ng.guestagent.managers on the image",
    "repl_strategy": "how a datastore replicates is a property of its manager"}


def _packages(wanted: list[str] | str | None, field: str) -> str:
    found = wanted.split(",") if isinstance(wanted, str) else wanted or []
    text = ",".join(one.strip() for one in found if one.strip())
    if len(text) > 511:
        raise BadRequest(f"Validation error: {field} is longer than 511 characters.")
    return text


def _check_image(call: Call, row: DatastoreVersion, place: str = "") -> None:
    """Refuse a version of which no instance could be made.

    :raises NotFound: there is no such image
    :raises BadRequest: none is named
    """
    tags = datastores.image_tags(row)
    if not row.image_id and not tags:
        raise BadRequest(f"Validation error: {place}image or {place}image_tags is required.")
    if call.services.catalog.find_image(row.image_id, tags) is None:
        raise (NotFound.of("Image", row.image_id) if row.image_id else NotFound(
            f"An image with the tags {row.image_tags} cannot be found."))
