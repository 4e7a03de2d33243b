"""Give all instances of a configuration group its present settings.

Each instance gets an operation of its own; what became of it is a step of this one.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict
from trove_ng.db.models import Operation
from trove_ng.db.repositories import configurations, operations
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads, per_instance, readiness
from trove_ng.operations.requests import Requests
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import StepFailed, Work

#: instances that are changed at the same time
_AT_ONCE = 10


def _apply(work: Work) -> None:
    """Begin with instances that are ready, and note the ends, until all are through."""
    with work.reader() as session:
        begun = [ident for ident, one in per_instance.steps(session, work.id).items()
                 if one.state == operations.RUNNING]
        # one that has begun may have left the group since the last look
        ids = sorted({*begun, *configurations.instance_ids(session, work.resource_id)})
    work.wait_for_others("the instances of the group", lambda: _look(work, ids))
    with work.reader() as session:
        states = [one.state for one in per_instance.steps(session, work.id).values()]
    failed = states.count(operations.FAILED)
    if failed:
        raise StepFailed(f"{failed} of {len(states)} instances do not have the settings; "
                         "the steps of the operation say why.")


def _look(work: Work, ids: list[str]) -> bool | None:
    """Return True when there is nothing more to do."""
    with work.reader() as session:
        states = {ident: one.state
                  for ident, one in per_instance.steps(session, work.id).items()}
    open_ = [one for one in ids if states.get(one, operations.RUNNING) == operations.RUNNING]
    percent = 100 * (len(ids) - len(open_)) // max(1, len(ids))
    begun = [ident for ident in open_ if ident in states]
    # all of them: one that could not begin before may stand in front of them
    running = sum(_note_end(work, ident) for ident in begun)
    for ident in open_:
        if ident not in begun and running < _AT_ONCE:
            running += _begin(work, ident, percent)
    return None if open_ else True


def _begin(work: Work, instance_id: str, percent: int) -> bool:
    """Ask for an operation on an instance; return False if it cannot begin (yet)."""
    tools, now = work.tools, work.tools.clock.now()
    with work.writer() as session:
        loaded = readiness.load(session, instance_id, None, now)
        if operations.live(session, instance_id) is not None:
            # it may just be given the group, with older values: it is looked at again
            return False
        if loaded is None or loaded.instance.configuration_id != work.resource_id:
            # it left the group meanwhile
            operations.begin_step(session, work.id, per_instance.name(instance_id), percent, now)
            operations.end_step(session, work.id, per_instance.name(instance_id), None, now)
            return False
        operations.begin_step(session, work.id, per_instance.name(instance_id), percent, now)
        why = readiness.why_not(loaded, tools.conf.agent_heartbeat_expiry)
        if why is not None:
            operations.end_step(session, work.id, per_instance.name(instance_id), why, now)
            return False
        try:
            with session.begin_nested():
                child = Requests(tools.conf, tools.operation_box).submit(
                    session, action=payloads.INSTANCE_CONFIGURE, resource_type="instance",
                    resource_id=instance_id, tenant_id=loaded.instance.tenant_id,
                    context=work.context, now=now,
                    payload=payloads.ConfigureInstance(configuration_id=work.resource_id))
        except Conflict as err:
            operations.end_step(session, work.id, per_instance.name(instance_id), err.message, now)
            return False
        loaded.instance.task, loaded.instance.operation_id = Task.UPDATING, child.id
    return True


def _note_end(work: Work, instance_id: str) -> bool:
    """Note how the operation of an instance ended; return True while it has not."""
    with work.writer() as session:
        child = _child(session, work, instance_id)
        if child is not None and child.live_key is not None:
            return True
        error = "The operation of the instance is gone." if child is None else child.error
        if child is not None and child.status == operations.CANCELLED:
            error = error or "The instance was deleted, or reset."
        operations.end_step(
            session, work.id, per_instance.name(instance_id), error, work.tools.clock.now())
    return False


def _child(session: Session, work: Work, instance_id: str) -> Operation | None:
    begun = per_instance.steps(session, work.id)[instance_id].started_at
    return operations.newest(session, instance_id, payloads.INSTANCE_CONFIGURE, begun)


def _succeed(work: Work, session: Session) -> None:
    """Nothing waits for the end: the values are stored since the request."""


def _fail(work: Work, session: Session, why: str) -> None:
    """Nothing is undone: the instances that have the settings keep them."""


RUNBOOK = Runbook(payloads.CONFIGURATION_APPLY, (
    Step("instances", _apply),
), _succeed, _fail, cancellable=True)
