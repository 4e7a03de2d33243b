"""Parameters that groups of a version may set, as operators define them."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.api.views.parameters import management
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.datastores import base as engines
from trove_ng.db.models import DatastoreConfigurationParameter, DatastoreVersion
from trove_ng.db.repositories import datastores, parameters
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.configurations import parameter


def index(call: Call) -> dict[str, Any]:
    """List the parameters of a version, also those that were taken away."""
    with call.services.db.reader() as session:
        rows = parameters.all_of(session, _version(session, call).id)
    return {"configuration-parameters": [management(row) for row in rows]}


def show(call: Call) -> dict[str, Any]:
    """Show a parameter, also one that was taken away."""
    with call.services.db.reader() as session:
        return management(_row(session, call, _version(session, call).id))


@retry_on_db_error
def create(call: Call) -> dict[str, Any]:
    """Let groups of a version set a parameter."""
    with call.services.db.writer() as session:
        version = _version(session, call)
        row = parameters.add(session, version.id, parameter(
            engines.get(version.manager), call.body["configuration-parameter"]))
        answer = management(row)
        call.keep(session, answer, None)
    return answer


@retry_on_db_error
def update(call: Call) -> dict[str, Any]:
    """Change the rules of a parameter; values that groups have stay."""
    body, name = call.body["configuration-parameter"], call.params["name"]
    if body.get("name", name) != name:
        raise BadRequest("Validation error: configuration-parameter.name cannot be changed.")
    with call.services.db.writer() as session:
        version = _version(session, call)
        row = _row(session, call, version.id, lock=True)
        if row.deleted:
            raise NotFound.of("Configuration parameter", name)
        parameters.write(row, parameter(
            engines.get(version.manager), {**body, "name": name}))
        return management(row)


@retry_on_db_error
def delete(call: Call) -> None:
    """Let groups set a parameter no more; values that groups have stay."""
    now = call.services.clock.now()
    with call.services.db.writer() as session:
        row = _row(session, call, _version(session, call).id, lock=True)
        if row.deleted:
            raise NotFound.of("Configuration parameter", row.name)
        parameters.take_away(row, now)


def _version(session: Session, call: Call) -> DatastoreVersion:
    found = datastores.get_version(session, call.params["id"])
    if found is None:
        raise NotFound.of("Datastore version", call.params["id"])
    return found[0]


def _row(session: Session, call: Call, version_id: str, *, lock: bool = False,
         ) -> DatastoreConfigurationParameter:
    name = call.params["name"]
    row = parameters.get(session, version_id, name, lock=lock)
    if row is None:
        raise NotFound.of("Configuration parameter", name)
    return row
