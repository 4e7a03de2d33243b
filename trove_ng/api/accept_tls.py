"""Accepting how the database of an instance speaks TLS with its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from trove_ng.api import accept, accept_roles, effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views import tls as views
from trove_ng.api.wake import wake
from trove_ng.cloud.errors import CloudError, CloudUnavailable
from trove_ng.common.errors import (
    BadRequest,
    NotSupported,
    ServiceUnavailable,
    UnprocessableEntity,
)
from trove_ng.common.secret import Secret
from trove_ng.common.tls import BASIC, ENFORCED, MUTUAL
from trove_ng.datastores.base import Datastore
from trove_ng.db.models import Instance
from trove_ng.db.repositories import tls
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.certificates import CertificateError, from_bundle, from_parts
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads, replication
from trove_ng.operations.readiness import Loaded


def change(call: Call) -> dict[str, Any]:
    """Begin to change it.

    :return: what it will be, for the view
    """
    secrets = None
    if call.body["ssl"].get("container_ref"):
        with call.services.db.reader() as session:
            # no secret is read for an instance that is not the caller's
            accept.find(session, call)
        # the cloud is not asked while the store is written to
        secrets = _from_key_manager(call, call.body["ssl"])
    elif call.body["ssl"].get("password_ref"):
        raise BadRequest("Validation error: ssl.password_ref needs ssl.container_ref.")
    return _begin(call, secrets)


def _from_key_manager(call: Call, body: Mapping[str, Any]) -> dict[str, Secret]:
    """Return certificate, key and authority that a request names, checked."""
    field = "Validation error: ssl.container_ref"
    if call.token is None:
        raise BadRequest(f"{field}: the key manager is asked with a token.")
    try:
        found = call.services.keys().find(
            call.token, body["container_ref"], body.get("password_ref"))
        if found.bundle is not None:
            made = from_bundle(found.bundle, found.password)
        else:
            made = from_parts(found.certificate, found.key or Secret(""), found.chain,
                              found.password)
    except ValueError as err:
        raise BadRequest(f"{field} or password_ref: {err}.") from err
    except CertificateError as err:
        raise BadRequest(f"{field}: {err}") from err
    except CloudUnavailable as err:
        raise ServiceUnavailable(err.message) from err
    except CloudError as err:
        raise BadRequest(f"{field} or password_ref cannot be read: {err.message}") from err
    return {payloads.TLS_CERTIFICATE: Secret(made.certificate), payloads.TLS_KEY: made.key,
            payloads.TLS_AUTHORITY: Secret(made.authority)}


@retry_on_db_error
def _begin(call: Call, secrets: dict[str, Secret] | None) -> dict[str, Any]:
    body = call.body["ssl"]
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        accept.usable(call, loaded)
        engine = effective_versions.engine(
            session, loaded.instance.datastore_version_id, loaded.manager)
        if not engine.capabilities.tls:
            raise NotSupported("The datastore does not offer TLS.")
        replicas = accept_roles.replicas_of(session, call, loaded.instance.id)
        for one in (loaded, *replicas) if replicas else ():
            accept_roles.answers(call, one)
        now = tls.get(session, loaded.instance.id)
        action, payload, mode = _wanted(session, call, loaded, engine, body)
        if replicas and mode is not None:
            check_set(call, loaded.instance, engine, mode)
        # a set is restarted by the operation
        restart = not replicas and (loaded.instance.restart_required or engine.tls_restarts and (
            (now is None or now.mode is None) != (mode is None)))
        answer = {"ssl": views.planned(mode, restart)}
        operation_id = _submit(session, call, loaded, replicas, action, payload, answer,
                               secrets or {})
    wake(call, operation_id)
    return answer


def _submit(session: Session, call: Call, loaded: Loaded, replicas: list[Loaded], action: str,
            payload: payloads.OfSet, answer: dict[str, Any], secrets: dict[str, Secret]) -> str:
    """Write the operation on an instance and its replicas; return its id."""
    members = [one.instance for one in replicas]
    operation_id = accept.begin(
        session, call, loaded, action, Task.UPDATING, msgspec.structs.replace(
            payload, source_id=loaded.instance.id, replica_ids=[one.id for one in members]),
        answer=answer, secrets=secrets | {
            payloads.member_secret(one.id): replication.new_password() for one in members})
    for one in members:
        one.task, one.operation_id = Task.UPDATING, operation_id
    return operation_id


def check_set(call: Call, source: Instance, engine: Datastore, mode: str) -> None:
    """Check that replicas can speak TLS as their source is to.

    :raises UnprocessableEntity: they cannot
    """
    if mode == MUTUAL and engine.tls_alone:
        raise UnprocessableEntity(
            f"Replicas of this datastore show no certificates; ssl.mode of instance {source.id} "
            f"must be {BASIC} or {ENFORCED} to have any.")
    if not call.services.conf.tls.ca_certificate:
        raise UnprocessableEntity(
            "This cloud has no authority that issues the certificates that replicas of "
            f"instance {source.id} need.")


def _wanted(session: Session, call: Call, loaded: Loaded, engine: Datastore,
            body: Mapping[str, Any]) -> tuple[str, payloads.OfSet, str | None]:
    """Return action and payload of the operation, and the mode that it makes."""
    source_id = loaded.instance.slave_of_id
    if source_id is not None:
        _check_replica(session, loaded, source_id, body)
    if body.get("rollback"):
        before = tls.get(session, loaded.instance.id, tls.PREVIOUS)
        if before is None:
            raise UnprocessableEntity(
                f"Instance {loaded.instance.id} has no earlier configuration of TLS.")
        return (payloads.INSTANCE_ROLL_BACK_TLS, payloads.RollBackTls(mode=before.mode),
                before.mode)
    mode = body.get("mode", BASIC) if body.get("enable") else None
    if mode is not None:
        _check_mode(call, engine, body, mode)
    return payloads.INSTANCE_SET_TLS, payloads.SetTls(
        mode=mode, reference=body.get("container_ref")), mode


def _check_mode(call: Call, engine: Datastore, body: Mapping[str, Any], mode: str) -> None:
    if mode not in engine.tls_modes:
        raise BadRequest(f"Validation error: ssl.mode must be one of "
                         f"{', '.join(engine.tls_modes)} for this datastore.")
    if not body.get("container_ref") and not call.services.conf.tls.ca_certificate:
        raise NotSupported("This cloud has no authority that issues certificates; name one in "
                           "ssl.container_ref.")


def _check_replica(session: Session, loaded: Loaded, source_id: str,
                   body: Mapping[str, Any]) -> None:
    """Refuse all for a replica but another certificate than the service issued.

    :raises BadRequest: it is for the set, at whose source it is asked for
    """
    found = tls.get(session, source_id)
    if not body.get("container_ref") or found is None or found.mode is None:
        raise BadRequest(f"Instance {loaded.instance.id} is a replica; ask for TLS at its "
                         "source.")
    if body.get("mode", BASIC) != found.mode:
        raise BadRequest(f"Validation error: ssl.mode must be {found.mode}, as that of the "
                         "source.")
