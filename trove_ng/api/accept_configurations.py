"""Accepting changes of configuration groups, and which instances have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.datastores import base as engines
from trove_ng.db.models import Configuration, Datastore, Instance
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import configurations, datastores, operations
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.configurations import check_values
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads


@retry_on_db_error
def create(call: Call, render: Callable[[Session, str], dict[str, Any]]) -> dict[str, Any]:
    """Write a group.

    :param render: returns the view of a group
    """
    body = call.body["configuration"]
    wanted = body.get("datastore") or {}
    now = call.services.clock.now()
    with call.services.db.writer() as session:
        version = effective_versions.wanted(
            session, call, wanted, "configuration.datastore")
        check_values(configurations.parameters(session, version.id), body["values"])
        group = Configuration(
            id=new_id(), name=body["name"], description=body.get("description"),
            tenant_id=call.context.project_id, datastore_version_id=version.id,
            created=now, updated=now)
        session.add(group)
        session.flush()
        configurations.set_values(session, group.id, body["values"])
        # the default ones too, when the request names none
        datastore = session.get_one(Datastore, version.datastore_id)
        call.services.notices.both(
            session, "configuration_create", call.context, group.tenant_id,
            {"name": group.name, "datastore": datastore.name,
             "datastore_version": version.name}, now, configuration_id=group.id)
        answer = {"configuration": render(session, group.id)}
        call.keep(session, answer, None)
    return answer


@retry_on_db_error
def change(call: Call, *, merge: bool) -> None:
    """Change name, description and values; instances of the group get the values.

    A value that stays is not checked again: the operator may have changed the rules since.

    :param merge: keep the values that the request does not name
    """
    body = call.body["configuration"]
    event, says = _notification(call.params["id"], body, merge=merge)
    operation_id = running = None
    with call.services.db.writer() as session:
        group = load(session, call, call.params["id"])
        before = configurations.values(session, group.id)
        wanted = body.get("values", {} if not merge else before)
        if merge:
            wanted = {**before, **wanted}
        changed = {name: value for name, value in wanted.items()
                   if name not in before or not _same(before[name], value)}
        if changed:
            for version_id in {group.datastore_version_id,
                               *configurations.used_versions(session, group.id)}:
                check_values(configurations.parameters(session, version_id), changed)
        group.name = body.get("name", group.name)
        group.description = body.get("description", group.description)
        group.updated = call.services.clock.now()
        if changed or before.keys() - wanted.keys():
            configurations.set_values(session, group.id, wanted)
            group.revision += 1
            running = operations.live(session, group.id)
            operation_id = _spread(session, call, group, event, says)
        if operation_id is None:
            call.services.notices.both(
                session, event, call.context, group.tenant_id, says, group.updated)
    if operation_id is not None:
        accept.tell_cancelled(call, running)
        wake(call, operation_id)


def _same(before: Any, value: Any) -> bool:
    """Return whether a value is the one that was there: 1 is not true."""
    return type(before) is type(value) and bool(before == value)


def _notification(ident: str, body: Mapping[str, Any], *, merge: bool,
                  ) -> tuple[str, dict[str, Any]]:
    """Return how a change of a group is told, and what its start says."""
    if merge:
        return "configuration_edit", {"configuration_id": ident}
    return "configuration_update", {
        "configuration_id": ident, "name": body.get("name"),
        "description": body.get("description")}


def _spread(session: Session, call: Call, group: Configuration, event: str,
            says: Mapping[str, Any]) -> str | None:
    """Ask for the values to be given to the group's instances; None if it has none."""
    if not configurations.instance_ids(session, group.id):
        return None
    return call.services.requests.submit(
        session, action=payloads.CONFIGURATION_APPLY, resource_type="configuration",
        resource_id=group.id, tenant_id=group.tenant_id, context=call.context,
        payload=payloads.ApplyConfiguration(event=event), now=call.services.clock.now(),
        told=lambda: says,
        # what is under way would give older values
        supersede=True).id


@retry_on_db_error
def delete(call: Call) -> None:
    """Delete a group that no instance has."""
    now = call.services.clock.now()
    with call.services.db.writer() as session:
        group = load(session, call, call.params["id"])
        if configurations.instance_ids(session, group.id):
            raise BadRequest(f"Configuration {group.id} is attached to instances; detach it "
                             "first.")
        group.deleted, group.deleted_at = True, now


def load(session: Session, call: Call, ident: str) -> Configuration:
    """Lock a group of the caller and return it.

    :raises NotFound: there is none, or it is not the caller's
    """
    return call.own("Configuration", ident, configurations.get(
        session, ident, call.owner, lock=True))


def for_instance(session: Session, ident: str, tenant_id: str, version_id: str,
                 ) -> Configuration:
    """Lock a group that an instance of a version has, or is to have, and return it.

    :param tenant_id: owner of the instance, who must be the group's too
    :raises NotFound: there is no such group
    :raises BadRequest: it is of another datastore
    :raises UnprocessableEntity: it is of another version, and its values do not fit this one
    """
    found = configurations.get(session, ident, tenant_id, lock=True)
    if found is None:
        raise NotFound.of("Configuration", ident)
    if found.datastore_version_id != version_id:
        if not datastores.same_datastore(session, found.datastore_version_id, version_id):
            raise BadRequest(f"Validation error: instance.configuration {ident} is of another "
                             "datastore.")
        check_values(configurations.parameters(session, version_id),
                     configurations.values(session, ident))
    return found


@retry_on_db_error
def attach(call: Call, ident: str | None, also: Callable[[Instance], None]) -> None:
    """Begin to give an instance a group's settings, or none.

    :param also: changes the instance in the same transaction
    """
    operation_id = None
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        instance = loaded.instance
        if ident is not None:
            ident = for_instance(session, ident, instance.tenant_id,
                                 instance.datastore_version_id).id
        # one that is attached is given again: the instance may have missed a change
        if ident is not None or instance.configuration_id is not None:
            accept.usable(call, loaded)
            able = effective_versions.engine(
                session, instance.datastore_version_id, loaded.manager).capabilities
            if ident is not None and not able.configuration:
                raise BadRequest("Validation error: instance.configuration: the datastore does "
                                 "not offer configuration groups.")
            operation_id = accept.begin(
                session, call, loaded, payloads.INSTANCE_CONFIGURE, Task.UPDATING,
                payloads.ConfigureInstance(configuration_id=ident))
        also(instance)
    if operation_id is not None:
        wake(call, operation_id)


def defaults(manager: str, version: str, memory_mb: int) -> Mapping[str, Any]:
    """Return the settings that an instance has without a group."""
    sections = engines.get(manager).config(memory_mb, version)
    return {name: value for section in sections.values() for name, value in section.items()}
