"""The datastore versions that a caller may use.

Lists, flavors and volume types of a version, creates and resizes all ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.datastores import base as engines
from trove_ng.datastores.base import Datastore as Engine
from trove_ng.db.models import Datastore, DatastoreVersion
from trove_ng.db.repositories import datastores
from trove_ng.db.rows import AnyRow, Reader
from trove_ng.domain.versions import Limits
from trove_ng.operations.capabilities import effective


def find_datastore(session: Session, ident: str) -> Datastore:
    """Return a datastore by id or name.

    :raises NotFound: there is none
    """
    found = datastores.find(session, ident)
    if found is None:
        raise NotFound.of("Datastore", ident)
    return found


def listed(session: Session, call: Call, ident: str) -> tuple[Datastore, list[AnyRow]]:
    """Return a datastore and the versions of it that the caller's lists show.

    :raises NotFound: there is none; to users, one without such a version is like none
    """
    found = find_datastore(session, ident)
    rows = datastores.versions_of(session, found.id, call.owner)
    if not rows and not call.context.is_admin:
        raise NotFound.of("Datastore", ident)
    return found, rows


def named(session: Session, call: Call) -> tuple[DatastoreVersion, Datastore]:
    """Return the version that the path names.

    :raises NotFound: there is none that the caller sees
    :raises BadRequest: the name fits several versions of other numbers
    """
    ident, datastore = call.params["id"], None
    if "datastore" in call.params:
        datastore = find_datastore(session, call.params["datastore"]).id
    rows = datastores.find_versions(session, ident, call.owner, datastore=datastore)
    if datastore is None:
        rows = [row for row in rows if row[0].id == ident]
    if not rows:
        raise NotFound.of("Datastore version", ident)
    if len(rows) > 1:
        raise BadRequest(f"Several versions have the name {ident}; give an id.")
    return rows[0]


def wanted(session: Session, call: Call, body: Mapping[str, Any], field: str, *,
           lock: bool = True) -> DatastoreVersion:
    """Return the version that a request asks for, or the default one.

    It is active; an administrator may use one that others do not see.

    :param body: ``type``, ``version`` and ``version_number``, each of which may be absent
    :param field: where they are in the request, for messages
    :param lock: keep it from being deleted until the transaction ends
    :raises NotFound: there is none that the caller may use
    :raises BadRequest: it is not clear which one
    """
    name = body.get("type") or call.services.conf.default_datastore
    if name is None:
        raise BadRequest(f"Validation error: {field}.type is required: there is no default "
                         "datastore.")
    version = body.get("version")
    rows = datastores.find_versions(session, version, call.owner, datastore=name,
                                    number=body.get("version_number"), active=True,
                                    lock=lock)
    if not rows:
        known = find_datastore(session, name)
        version = version or known.default_version_id
        if version is None:
            raise BadRequest(f"Validation error: {field}.version is required: datastore {name} "
                             "has no default version.")
        raise NotFound.of("Datastore version", version)
    if len(rows) > 1:
        raise BadRequest(f"Validation error: {field}.version {version} is the name of several "
                         "versions; give version_number too.")
    return rows[0][0]


def limits(session: Session, version_id: str) -> Limits:
    """Return what instances of a version are limited to."""
    return Limits.of(datastores.bindings(session, version_id))


def engine(reader: Reader, version_id: str, manager: str) -> Engine:
    """Return the engine of a version, with the capabilities that instances of it have."""
    return effective(reader, version_id, engines.get(manager))
