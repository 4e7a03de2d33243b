"""What instances of a datastore version can do."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import effective_versions
from trove_ng.api.call import Call
from trove_ng.common.errors import NotFound
from trove_ng.datastores import base as engines
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import capabilities
from trove_ng.db.repositories import datastore_admin as admin
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.capabilities import MEANINGS, declared, reasons, values


def of_version(call: Call) -> dict[str, Any]:
    """List what instances of a version can do, and cannot."""
    with call.services.db.reader() as session:
        version, _ = effective_versions.named(session, call)
        return _matrix(session, version)


def index(call: Call) -> dict[str, Any]:
    """List the switches for all versions."""
    with call.services.db.reader() as session:
        return {"capabilities": _switches(session)}


@retry_on_db_error
def switch(call: Call) -> dict[str, Any]:
    """Switch a capability of all versions that have no switch of their own."""
    name, body = _name(call), call.body["capability"]
    with call.services.db.writer() as session:
        capabilities.switch(session, name, enabled=body.get("enabled"),
                            description=body.get("description"))
        return {"capability": next(
            one for one in _switches(session) if one["name"] == name)}


def management(call: Call) -> dict[str, Any]:
    """List what the engine of a version can do, and how it is switched."""
    with call.services.db.reader() as session:
        version, _ = admin.get_version(session, call.params["id"])
        return _management(session, version)


@retry_on_db_error
def override(call: Call) -> dict[str, Any]:
    """Switch a capability of one version."""
    return _override(call, call.body["capability"]["enabled"])


@retry_on_db_error
def reset(call: Call) -> dict[str, Any]:
    """Take the own switch of a version away."""
    return _override(call, None)


def _override(call: Call, enabled: bool | None) -> dict[str, Any]:
    name = _name(call)
    with call.services.db.writer() as session:
        version, _ = admin.get_version(session, call.params["id"], lock=True)
        capabilities.override(session, version.id, name, enabled)
        session.flush()
        return _management(session, version)


def _name(call: Call) -> str:
    name = call.params["name"]
    if name not in MEANINGS:
        raise NotFound.of("Capability", name)
    return name


def _switches(session: Session) -> list[dict[str, Any]]:
    rows = {row.name: row for row in capabilities.switches(session)}
    return [{"name": name, "enabled": name not in rows or rows[name].enabled,
             "description": _description(rows.get(name), meaning)}
            for name, meaning in MEANINGS.items()]


def _description(row: Any, meaning: str) -> str:
    return meaning if row is None or row.description is None else row.description


def _matrix(session: Session, version: DatastoreVersion) -> dict[str, Any]:
    engine = effective_versions.engine(session, version.id, version.manager)
    able, why_not, ways = declared(engine), reasons(engine), values(engine)
    return {"capabilities": [
        {"name": one["name"], "description": one["description"], "enabled": able[one["name"]],
         "reason": why_not.get(one["name"]), "values": ways.get(one["name"], [])}
        for one in _switches(session)]}


def _management(session: Session, version: DatastoreVersion) -> dict[str, Any]:
    own = capabilities.overrides(session, version.id)
    able = declared(engines.get(version.manager).of(version.version))
    return {"capabilities": [
        {**one, "declared": able[one["name"]], "override": own.get(one["name"])}
        for one in _matrix(session, version)["capabilities"]]}
