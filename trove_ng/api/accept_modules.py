"""Accepting changes of modules, and modules for instances."""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.api.effective_versions import find_datastore
from trove_ng.api.schemas.modules import MAX_CONTENTS
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, Forbidden, NotFound
from trove_ng.db.models import Module
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import datastores, modules
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.modules import ALL, Flags, administered
from trove_ng.operations import modules as sending
from trove_ng.operations import payloads

Render = Callable[[Session, str], dict[str, Any]]

_FLAGS = ("auto_apply", "visible", "priority_apply")


def load(session: Session, call: Call, ident: str, *, lock: bool = False) -> Module:
    """Return a module that the caller may see.

    :raises NotFound: there is none; a hidden or foreign one is not told from it
    """
    found = modules.get(session, ident, call.owner, lock=lock)
    if found is None:
        raise NotFound.of("Module", ident)
    if found.tenant_id != ALL:
        call.authorize_owner(found.tenant_id)
    return found


def _changeable(session: Session, call: Call) -> Module:
    """Return the path's module, locked, when the caller may change it."""
    found = load(session, call, call.params["id"], lock=True)
    if not call.context.is_admin and (
            found.is_admin or found.tenant_id != call.context.project_id):
        raise Forbidden(f"Module {found.id} is changed by administrators only.")
    return found


@retry_on_db_error
def create(call: Call, render: Render) -> dict[str, Any]:
    """Write a module and return its view."""
    body, now = _asked(call), call.services.clock.now()
    kind, contents = _kind(call, body), _contents(body["contents"])
    with call.services.db.writer() as session:
        datastore_id, version_id = _target(session, call, body.get("datastore") or {})
        flags = _flags(Flags(), body)
        module = Module(
            id=new_id(), name=body["name"], type=kind, description=body.get("description"),
            tenant_id=ALL if flags.all_tenants else call.context.project_id,
            datastore_id=datastore_id, datastore_version_id=version_id,
            auto_apply=flags.auto_apply, visible=flags.visible,
            priority_apply=flags.priority_apply, live_update=bool(body.get("live_update")),
            apply_order=body.get("apply_order", 5), created=now, updated=now,
            is_admin=administered(call.context.is_admin, Flags(), flags, None,
                                  _flag(body, "full_access")))
        _fill(call, module, contents)
        modules.add(session, module)
        answer = {"module": render(session, module.id)}
        call.keep(session, answer, None)
    return answer


@retry_on_db_error
def change(call: Call, render: Render) -> dict[str, Any]:
    """Change what the request names of a module and return its view."""
    body = _asked(call)
    with call.services.db.writer() as session:
        module = _changeable(session, call)
        before = _flags_of(module)
        flags = _flags(before, body)
        module.is_admin = administered(call.context.is_admin, before, flags, module.is_admin,
                                       _flag(body, "full_access"))
        if not (module.live_update or body.get("live_update")):
            _refuse_applied(session, module, "changed")
        _set(session, call, module, body, flags)
        module.updated = call.services.clock.now()
        modules.flush(session, module)
        return {"module": render(session, module.id)}


def _asked(call: Call) -> dict[str, Any]:
    """Return the request as released clients send it, also one in the words of the specs.

    :raises BadRequest: it says the same in both ways, or names another project
    """
    body = dict(call.body["module"])
    datastore, version = body.get("datastore"), body.pop("datastore_version", None)
    if version is not None and isinstance(datastore, dict):
        raise BadRequest("Validation error: module.datastore_version: module.datastore is an "
                         "object, which has the version.")
    if version is not None or isinstance(datastore, str):
        body["datastore"] = {name: value for name, value in (
            ("type", datastore), ("version", version)) if value is not None}
    tenant = body.pop("tenant", None)
    if tenant is not None:
        if tenant not in (ALL, call.context.project_id) or "all_tenants" in body:
            raise BadRequest(f"Validation error: module.tenant must be {ALL} or your project, "
                             "and goes without module.all_tenants.")
        body["all_tenants"] = tenant == ALL
    return body


def _set(session: Session, call: Call, module: Module, body: Mapping[str, Any],
         flags: Flags) -> None:
    if "type" in body or "module_type" in body:
        module.type = _kind(call, body)
    for name in ("name", "description", "apply_order"):
        if name in body:
            setattr(module, name, body[name])
    if "live_update" in body:
        module.live_update = bool(body["live_update"])
    for name in _FLAGS:
        setattr(module, name, getattr(flags, name))
    if "all_tenants" in body and flags.all_tenants != (module.tenant_id == ALL):
        module.tenant_id = ALL if flags.all_tenants else call.context.project_id
    if body.get("all_datastores") or body.get("datastore", {}).get("type"):
        module.datastore_id, module.datastore_version_id = _target(
            session, call, {} if body.get("all_datastores") else body["datastore"])
    elif body.get("datastore", {}).get("version"):
        module.datastore_id, module.datastore_version_id = _target(
            session, call, {"type": module.datastore_id, **body["datastore"]})
    if body.get("all_datastore_versions"):
        module.datastore_version_id = ALL
    if "contents" in body:
        _fill(call, module, _contents(body["contents"]))


@retry_on_db_error
def delete(call: Call) -> None:
    """Delete a module that no instance has."""
    with call.services.db.writer() as session:
        module = _changeable(session, call)
        _refuse_applied(session, module, "deleted")
        modules.delete(session, module, call.services.clock.now())


@retry_on_db_error
def reapply(call: Call) -> None:
    """Begin to give the instances that have a module its present contents."""
    body, conf = call.body["reapply"], call.services.conf
    most, least = conf.module_reapply_max_batch_size, conf.module_reapply_min_batch_delay
    size, delay = body.get("batch_size", most), body.get("batch_delay", least)
    if size > most:
        raise BadRequest(f"Validation error: reapply.batch_size must be at most {most}.")
    if delay < least:
        raise BadRequest(f"Validation error: reapply.batch_delay must be at least {least}.")
    with call.services.db.writer() as session:
        module = _changeable(session, call)
        operation_id = call.services.requests.submit(
            session, action=payloads.MODULE_REAPPLY, resource_type="module",
            resource_id=module.id, context=call.context, now=call.services.clock.now(),
            tenant_id=(call.context.project_id if module.tenant_id == ALL
                       else module.tenant_id),
            payload=payloads.ReapplyModule(
                tenant_id=None if module.tenant_id == ALL else module.tenant_id,
                md5=body.get("md5"), force=bool(body.get("force")), batch_size=size,
                batch_delay=delay, include_clustered=bool(body.get("include_clustered")))).id
    wake(call, operation_id)


def for_instance(session: Session, call: Call, idents: Iterable[str], tenant_id: str,
                 datastore_id: str, version_id: str) -> list[Module]:
    """Return modules that an instance is to have, locked.

    :param tenant_id: owner of the instance; what another project owns is not applied to it,
        whoever asks
    :raises NotFound: the caller may not see one of them
    :raises BadRequest: one is for another datastore or version
    """
    found = []
    # all callers lock in the same order
    for ident in sorted(set(idents)):
        module = load(session, call, ident, lock=True)
        if module.tenant_id not in (ALL, tenant_id):
            raise NotFound.of("Module", ident)
        if not modules.fits(module, datastore_id, version_id):
            raise BadRequest(f"Validation error: module {ident} is for another datastore or "
                             "another version of it.")
        found.append(module)
    return found


def for_new_instance(session: Session, call: Call, idents: Iterable[str], datastore_id: str,
                     version_id: str) -> list[str]:
    """Return the ids of the modules that a new instance is to have: also the automatic ones."""
    tenant_id = call.context.project_id
    wanted = for_instance(session, call, idents, tenant_id, datastore_id, version_id)
    automatic = modules.automatic(session, tenant_id, datastore_id, version_id)
    return sorted({one.id for one in (*wanted, *automatic)})


def begin(session: Session, instance_id: str, idents: Iterable[str],
          now: datetime.datetime) -> None:
    """Write that an instance may have modules from now on."""
    for ident in idents:
        modules.begin(session, instance_id, ident, now)


def _refuse_applied(session: Session, module: Module, what: str) -> None:
    if modules.is_applied(session, module.id):
        raise Forbidden(f"Module {module.id} cannot be {what} while instances have it.")


def _kind(call: Call, body: Mapping[str, Any]) -> str:
    kind: str | None = body.get("module_type") or body.get("type")
    if kind is None:
        raise BadRequest("Validation error: module.module_type is required.")
    known = call.services.conf.module_types
    if kind not in known:
        raise BadRequest(f"Validation error: module.module_type must be one of "
                         f"{', '.join(known)}.")
    return kind


def _contents(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadRequest("Validation error: module.contents must be base64.") from None
    if not 0 < len(found) <= MAX_CONTENTS:
        raise BadRequest(f"Validation error: module.contents must be 1 to {MAX_CONTENTS} bytes "
                         "before base64.")
    return found


def _fill(call: Call, module: Module, contents: bytes) -> None:
    """Seal the contents, in base64 as the agents get them."""
    module.md5 = hashlib.md5(contents, usedforsecurity=False).hexdigest()
    module.contents = sending.box(call.services.conf).seal(
        base64.b64encode(contents).decode(), module.id)


def _flag(body: Mapping[str, Any], name: str) -> bool | None:
    return bool(body[name]) if name in body else None


def _flags_of(module: Module) -> Flags:
    return Flags(all_tenants=module.tenant_id == ALL, auto_apply=module.auto_apply,
                 visible=module.visible, priority_apply=module.priority_apply)


def _flags(before: Flags, body: Mapping[str, Any]) -> Flags:
    return Flags(**{name: bool(body.get(name, getattr(before, name)))
                    for name in ("all_tenants", *_FLAGS)})


def _target(session: Session, call: Call, wanted: Mapping[str, Any]) -> tuple[str, str]:
    """Return the ids of datastore and version that a module is for.

    :raises NotFound: there is none that the caller may see
    :raises BadRequest: it is not clear which one
    """
    name, version = wanted.get("type", ALL), wanted.get("version", ALL)
    if name == ALL:
        if version != ALL:
            raise BadRequest("Validation error: module.datastore.version needs "
                             "module.datastore.type.")
        return ALL, ALL
    datastore = find_datastore(session, name)
    if version == ALL:
        return datastore.id, ALL
    rows = datastores.find_versions(session, version, call.owner, datastore=datastore.id,
                                    lock=True)
    if not rows:
        raise NotFound.of("Datastore version", version)
    if len(rows) > 1:
        raise BadRequest(f"Validation error: module.datastore.version {version} is the name of "
                         "several versions; give an id.")
    return datastore.id, rows[0][0].id
