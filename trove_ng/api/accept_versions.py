"""The datastore version that a request names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import datastores


def wanted_version(session: Session, call: Call, wanted: Mapping[str, Any], field: str,
                   ) -> DatastoreVersion:
    """Return the datastore version that a request asks for, or the default one.

    :param wanted: ``type``, ``version`` and ``version_number``, each of which may be absent
    :param field: where they are in the body, for messages
    :raises NotFound: there is none that the caller may see
    :raises BadRequest: it is not clear which one
    """
    name = wanted.get("type") or call.services.conf.default_datastore
    if name is None:
        raise BadRequest(f"Validation error: {field}.datastore.type is required: there is no "
                         "default datastore.")
    datastore = datastores.find(session, name)
    if datastore is None:
        raise NotFound.of("Datastore", name)
    version = wanted.get("version") or datastore.default_version_id
    if version is None:
        raise BadRequest(f"Validation error: {field}.datastore.version is required: datastore"
                         f" {name} has no default version.")
    rows = datastores.find_versions(session, version, call.context.project_id,
                                    datastore_id=datastore.id,
                                    number=wanted.get("version_number"))
    if not rows:
        raise NotFound.of("Datastore version", version)
    if len(rows) > 1:
        raise BadRequest(f"Validation error: {field}.datastore.version {version} is the name "
                         "of several versions; give version_number too.")
    return rows[0][0]
