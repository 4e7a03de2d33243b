"""Give the instances that have a module its present contents, some at a time.

What became of each instance is a step of the operation.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict, ServiceUnavailable, TroveError
from trove_ng.db.models import OperationStep
from trove_ng.db.repositories import modules, operations
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import modules as sending
from trove_ng.operations import payloads, per_instance, readiness
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc.lines import BusAway

_ENDED = (operations.SUCCEEDED, operations.FAILED)


def _reapply(work: Work) -> None:
    """Go through the instances; those that an earlier worker was through with are left."""
    payload = work.payload(payloads.ReapplyModule)
    before = _through(work)
    left = [one for one in _wanted(work, payload) if one not in before]
    for number, instance_id in enumerate(left, len(before)):
        if number and number % payload.batch_size == 0:
            work.wait_for_others("the pause to end", lambda: _rested(work, payload.batch_delay))
        work.check()
        _begin(work, instance_id, 100 * number // (len(before) + len(left)))
        _end(work, instance_id, _one(work, instance_id))
    through = _through(work)
    failed = [one for one in through.values() if one.state == operations.FAILED]
    if failed:
        raise StepFailed(f"{len(failed)} of {len(through)} instances do not have the module's "
                         "present contents; the steps of the operation say why.")


def _wanted(work: Work, payload: payloads.ReapplyModule) -> Sequence[str]:
    with work.reader() as session:
        module = modules.get(session, work.resource_id, None)
        if module is None:
            raise StepFailed(sending.GONE)
        return modules.instance_ids(
            session, module.id, tenant_id=payload.tenant_id, md5=payload.md5,
            include_clustered=payload.include_clustered,
            but_md5=None if payload.force else module.md5)


def _through(work: Work) -> dict[str, OperationStep]:
    """Return what became of the instances so far."""
    with work.reader() as session:
        return {ident: one for ident, one in per_instance.steps(session, work.id).items()
                if one.state in _ENDED}


def _rested(work: Work, seconds: float) -> bool | None:
    """Return True so long after the last instance."""
    last = max(one.ended_at for one in _through(work).values() if one.ended_at is not None)
    return work.tools.clock.now() >= last + datetime.timedelta(seconds=seconds) or None


def _pause(work: Work, seconds: float) -> None:
    clock = work.tools.clock
    end = clock.monotonic() + seconds
    work.wait("the pause to end", lambda: clock.monotonic() >= end or None)


def _begin(work: Work, instance_id: str, percent: int) -> None:
    with work.writer() as session:
        operations.begin_step(session, work.id, per_instance.name(instance_id), percent,
                              work.tools.clock.now())


def _end(work: Work, instance_id: str, error: str | None) -> None:
    with work.writer() as session:
        operations.end_step(session, work.id, per_instance.name(instance_id), error,
                            work.tools.clock.now())


def _one(work: Work, instance_id: str) -> str | None:
    """Apply the module to an instance; return why it could not be."""
    tools = work.tools
    with work.writer() as session:
        loaded = readiness.load(session, instance_id, None, tools.clock.now())
        if loaded is None or not modules.has(session, instance_id, work.resource_id):
            return None  # it was deleted meanwhile, or gave the module up
        why = readiness.why_not(loaded, tools.conf.agent_heartbeat_expiry)
    if why is not None:
        return why
    end = tools.clock.monotonic() + tools.conf.guest_long_call_timeout
    while True:
        try:
            return sending.apply(work, instance_id, [work.resource_id]).get(work.resource_id)
        except (StoreAway, BusAway):
            raise  # the engine has patience with these
        except (ServiceUnavailable, Conflict) as err:
            # the engine's patience is for the whole step: one agent must not use it up
            if tools.clock.monotonic() > end:
                return err.message
        except TroveError as err:
            return err.message
        _pause(work, tools.conf.operations.step_retry_interval)


def _succeed(work: Work, session: Session) -> None:
    """Nothing waits for the end: each instance was noted when it was through."""


def _fail(work: Work, session: Session, why: str) -> None:
    """Nothing is undone: the instances that have the new contents keep them."""


RUNBOOK = Runbook(payloads.MODULE_REAPPLY, (
    Step("instances", _reapply),
), _succeed, _fail, cancellable=True)
