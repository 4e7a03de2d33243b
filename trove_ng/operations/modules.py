"""Modules on their way to the agents."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.crypto import SecretBox
from trove_ng.common.secret import Secret
from trove_ng.common.states import EventKind
from trove_ng.conf import modules as options
from trove_ng.db.models import Module
from trove_ng.db.repositories import events, modules
from trove_ng.operations.work import Work
from trove_ng.rpc.module_messages import ModuleSpec

LOG = logging.getLogger(__name__)

GONE = "The module is gone."


def box(conf: cfg.ConfigOpts) -> SecretBox:
    """Return what the contents of modules are sealed with."""
    return SecretBox(options.secrets(conf), modules.PURPOSE)


def spec(session: Session, module: Module, opener: SecretBox) -> ModuleSpec:
    """Return a module as its agent gets it, with its contents.

    :raises DecryptError: the key of its contents is not configured
    """
    datastore, version = modules.names(session, module)
    return ModuleSpec(
        id=module.id, type=module.type, name=module.name, datastore=datastore,
        datastore_version=version, md5=module.md5, priority_apply=module.priority_apply,
        apply_order=module.apply_order, is_admin=module.is_admin,
        contents=Secret(opener.open(module.contents, module.id)))


def apply(work: Work, instance_id: str, wanted: Sequence[str]) -> dict[str, str]:
    """Apply modules to an instance, and note what became of each.

    :return: id of a module that could not be applied → why
    """
    if not wanted:
        return {}
    failed, specs = {}, []
    opener = box(work.tools.conf)
    with work.reader() as session:
        for module_id in wanted:
            found = modules.get(session, module_id, None)
            if found is None:
                failed[module_id] = GONE
            else:
                specs.append(spec(session, found, opener))
    client = work.tools.guests(instance_id, work.context)
    states = client.module_apply(specs) if specs else []
    now, sent = work.tools.clock.now(), {one.id: one.md5 for one in specs}
    with work.writer() as session:
        for state in states:
            md5 = sent.pop(state.id, None)
            if md5 is None:
                continue  # it was not asked about that one
            if state.ok:
                modules.note_applied(session, instance_id, state.id, md5, now)
            else:
                failed[state.id] = state.message
        failed |= dict.fromkeys(sent, "The agent did not tell what became of it.")
        for module_id in failed:
            modules.note_failed(session, instance_id, module_id, now)
    return failed


def tell(work: Work, instance_id: str, module_id: str, why: str) -> None:
    """Write on the timeline of an instance that a module could not be applied."""
    LOG.error("operation %s: module %s could not be applied to instance %s: %s", work.id,
              module_id, instance_id, why)
    with work.writer() as session:
        events.add_for_instance(
            session, EventKind.FAULT, instance_id,
            f"Module {module_id} could not be applied: {why}", work.tools.clock.now(),
            {"module_id": module_id})
