"""Accepting how the database of an instance speaks TLS with its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views import tls as views
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotSupported, UnprocessableEntity
from trove_ng.common.tls import BASIC, STRICT
from trove_ng.datastores.base import Datastore
from trove_ng.db.repositories import instances, tls
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads
from trove_ng.operations.readiness import Loaded


@retry_on_db_error
def change(call: Call) -> dict[str, Any]:
    """Begin to change it.

    :return: what it will be, for the view
    """
    body = call.body["ssl"]
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        accept.usable(call, loaded)
        engine = effective_versions.engine(
            session, loaded.instance.datastore_version_id, loaded.manager)
        if not engine.capabilities.tls:
            raise NotSupported("The datastore does not offer TLS.")
        now = tls.get(session, loaded.instance.id)
        action, payload, mode = _wanted(session, call, loaded, engine, body)
        restart = loaded.instance.restart_required or engine.tls_restarts and (
            (now is None or now.mode is None) != (mode is None))
        answer = {"ssl": views.planned(mode, restart)}
        operation_id = accept.begin(
            session, call, loaded, action, Task.UPDATING, payload, answer=answer)
    wake(call, operation_id)
    return answer


def _wanted(session: Session, call: Call, loaded: Loaded, engine: Datastore,
            body: Mapping[str, Any]) -> tuple[str, payloads.Payload, str | None]:
    """Return action and payload of the operation, and the mode that it makes."""
    if body.get("rollback"):
        before = tls.get(session, loaded.instance.id, tls.PREVIOUS)
        if before is None:
            raise UnprocessableEntity(
                f"Instance {loaded.instance.id} has no earlier configuration of TLS.")
        return payloads.INSTANCE_ROLL_BACK_TLS, payloads.RollBackTls(), before.mode
    if loaded.instance.slave_of_id is not None:
        raise BadRequest(f"Instance {loaded.instance.id} is a replica; ask for TLS at its "
                         "source.")
    mode = body.get("mode", BASIC) if body.get("enable") else None
    if mode is not None:
        _check_mode(session, call, loaded, engine, body, mode)
    return payloads.INSTANCE_SET_TLS, payloads.SetTls(mode=mode), mode


def _check_mode(session: Session, call: Call, loaded: Loaded, engine: Datastore,
                body: Mapping[str, Any], mode: str) -> None:
    if mode not in engine.tls_modes:
        raise BadRequest(f"Validation error: ssl.mode must be one of "
                         f"{', '.join(engine.tls_modes)} for this datastore.")
    if body.get("container_ref") or body.get("password_ref"):
        raise NotSupported("This cloud has no key manager: leave ssl.container_ref and "
                           "ssl.password_ref out, and the service issues a certificate.")
    if not call.services.conf.tls.ca_certificate:
        raise NotSupported("This cloud has no authority that issues certificates.")
    if mode in STRICT and instances.has_replicas(session, loaded.instance.id):
        raise UnprocessableEntity(
            f"Instance {loaded.instance.id} has replicas, which follow it without TLS; "
            f"ssl.mode must be {BASIC}.")
