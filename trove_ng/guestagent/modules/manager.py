"""Applying, looking at and removing modules."""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import logging
import pathlib
from collections.abc import Callable

from trove_ng.common.errors import GuestError, TroveError
from trove_ng.common.secret import Secret
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.modules import driver
from trove_ng.guestagent.modules.driver import Module, ModuleDriver
from trove_ng.guestagent.modules.store import ModuleStore, Record
from trove_ng.rpc import module_messages as m
from trove_ng.rpc.messages import Empty

LOG = logging.getLogger(__name__)

#: what is remembered of a module from before its driver begins until it ends
CUT_OFF = "The guest agent ended while it applied the module."
_LENGTH = 1000


class ModuleManager:
    """The modules of this server.

    :param folder: returns the directory that they are kept in
    :param load: finds drivers
    """

    def __init__(self, ctx: AgentContext, folder: Callable[[], pathlib.Path],
                 load: driver.Loader = driver.load) -> None:
        self._ctx = ctx
        self._store = ModuleStore(folder)
        self._load = load

    def apply(self, request: m.ModulesRequest) -> m.ModuleStates:
        """Apply modules in their order; one that fails does not keep the others away.

        :raises GuestError: nothing can be kept: the data volume is away, or full
        """
        return m.ModuleStates(modules=[
            _state(self._apply(spec)) for spec in sorted(request.modules, key=_turn)])

    def look(self, request: m.ModuleQuery) -> m.ModuleStates:
        """Return what was applied, in its order, each looked at by its driver."""
        found = sorted(self._store.all(), key=_turn)
        return m.ModuleStates(modules=[
            self._look(record, request.include_contents) for record in found
            if request.id in (None, record.id)])

    def remove(self, request: m.ModuleRemoval) -> Empty:
        """Take a module out of force and forget it.

        :raises NotFound: it was never applied
        :raises GuestError: its driver cannot take it out of force
        """
        record = self._store.need(request.id)
        self._driver(record.type).remove(self._module(record))
        self._store.drop(record.id)
        LOG.info("module %s (%s) was removed", record.id, record.type)
        return Empty()

    # ---- inner ------------------------------------------------------------

    def _apply(self, spec: m.ModuleSpec) -> Record:
        record = self._begin(spec)
        try:
            contents = _contents(spec)
            made = self._driver(spec.type)
            self._keep(record, contents)
            record.message = made.apply(self._module(record))[:_LENGTH]
            record.ok = True
        except TroveError as err:
            LOG.error("module %s (%s) could not be applied: %s", spec.id, spec.type,
                      err.message)
            record.message = err.message[:_LENGTH]
        except Exception as err:
            LOG.exception("module %s (%s) could not be applied", spec.id, spec.type)
            record.message = f"Its driver failed with {type(err).__name__}."
        self._store.put(record)
        if record.ok:
            LOG.info("module %s (%s) was applied", spec.id, spec.type)
        return record

    def _begin(self, spec: m.ModuleSpec) -> Record:
        """Remember that a module is tried: an agent that dies meanwhile did not do it."""
        now, before = self._now(), self._store.get(spec.id)
        record = Record(
            id=spec.id, type=spec.type, name=spec.name, datastore=spec.datastore,
            datastore_version=spec.datastore_version, md5=before.md5 if before else "",
            priority_apply=spec.priority_apply, apply_order=spec.apply_order,
            is_admin=spec.is_admin, ok=False, message=CUT_OFF, updated_at=now,
            installed_at=before.installed_at if before else now)
        self._store.put(record)
        return record

    def _now(self) -> float:
        return self._ctx.clock.now().replace(tzinfo=datetime.UTC).timestamp()

    def _keep(self, record: Record, contents: bytes) -> None:
        record.md5 = _md5(contents)
        self._store.put_file(record, contents)
        self._store.put(record)

    def _look(self, record: Record, include_contents: bool) -> m.ModuleState:
        if record.ok:
            try:
                self._check_file(record)
                record.message = self._driver(record.type).query(self._module(record))[:_LENGTH]
            except TroveError as err:
                record.ok, record.message = False, err.message[:_LENGTH]
            except Exception as err:
                LOG.exception("module %s (%s) could not be looked at", record.id, record.type)
                record.ok = False
                record.message = f"Its driver failed with {type(err).__name__}."
        path = self._store.path(record)
        contents = None
        if include_contents and path.is_file():
            contents = Secret(base64.b64encode(path.read_bytes()).decode())
        return _state(record, contents)

    def _check_file(self, record: Record) -> None:
        path = self._store.path(record)
        if not path.is_file():
            raise GuestError("The file of the module is gone from the server.")
        if _md5(path.read_bytes()) != record.md5:
            raise GuestError("The file of the module was changed on the server.")

    def _module(self, record: Record) -> Module:
        return Module(id=record.id, name=record.name, path=self._store.path(record),
                      is_admin=record.is_admin)

    def _driver(self, kind: str) -> ModuleDriver:
        found = self._load(kind)(self._ctx)
        manager = self._ctx.conf.datastore_manager
        if found.managers and manager not in found.managers:
            raise GuestError(f"Modules of type {kind} are for {', '.join(found.managers)} only.")
        return found


def _turn(one: m.ModuleSpec | Record) -> tuple[bool, int, str, str]:
    """Return what decides which module goes first: priority, order, then the name."""
    return not one.priority_apply, one.apply_order, one.name, one.id


def _contents(spec: m.ModuleSpec) -> bytes:
    try:
        found = base64.b64decode(spec.contents.reveal(), validate=True)
    except binascii.Error:
        raise GuestError("The file of the module came damaged: it is no base64.") from None
    if _md5(found) != spec.md5:
        raise GuestError("The file of the module came damaged: its digest is another one.")
    return found


def _md5(contents: bytes) -> str:
    return hashlib.md5(contents, usedforsecurity=False).hexdigest()


def _state(record: Record, contents: Secret | None = None) -> m.ModuleState:
    return m.ModuleState(
        id=record.id, type=record.type, name=record.name, datastore=record.datastore,
        datastore_version=record.datastore_version, ok=record.ok, message=record.message,
        filename=record.filename, md5=record.md5, installed_at=record.installed_at,
        updated_at=record.updated_at, contents=contents)
