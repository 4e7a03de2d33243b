"""Have databases speak TLS with their clients, or no more, or as before.

The replicas of an instance speak as it does, each with a certificate of its own, and follow it
over TLS.  They begin before their source and end after it, so that it is always one of them
which can follow in either way.
"""

from __future__ import annotations

from trove_ng.operations import payloads, roles, tls
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work
from trove_ng.rpc import tls_messages as tm


def _replicas(work: Work) -> list[str]:
    return work.payload(payloads.OfSet).replica_ids


def _mode(work: Work) -> str | None:
    """Return how all speak in the end; it is in the same field, whichever action it is."""
    return work.payload(payloads.RollBackTls).mode


def _begin(work: Work) -> None:
    """Have replicas speak TLS first, if they are to."""
    mode = _mode(work)
    if mode is not None:
        roles.each(work, _replicas(work), lambda one: tls.put(
            work.on(one), tls.issued(work.on(one), mode, renewal=False), at_once=True))


def _end(work: Work) -> None:
    """Have replicas speak no TLS, if they are not to."""
    if _mode(work) is None:
        roles.each(work, _replicas(work), lambda one: tls.put(
            work.on(one), tm.TlsRequest(operation_id=work.id, step="tls"), at_once=True))


def _undo(work: Work) -> None:
    """Undo what this operation did to replicas, if it did: an answer may have been lost."""
    roles.each(work, _replicas(work), lambda one: _take_back(work.on(one)))


def _take_back(work: Work) -> None:
    tls.use(work, work.tools.guests(work.resource_id, work.context).roll_back_tls(
        tm.TlsRollback(operation_id=work.id, step="undo_tls", undo=True)), at_once=bool(
            _replicas(work)), restart="undo_tls_restart")


def _set(work: Work) -> None:
    wanted = work.payload(payloads.SetTls)
    if wanted.mode is None:
        request = tm.TlsRequest(operation_id=work.id, step="tls")
    elif wanted.reference is None:
        request = tls.issued(work, wanted.mode, renewal=wanted.renewal)
    else:
        request = tls.given(work, wanted.mode, wanted.reference)
    tls.put(work, request, at_once=bool(wanted.replica_ids))


def _unset(work: Work) -> None:
    _take_back(work)
    # under names of its own: agents do not do again what they did on the way here
    _follow(work, "undo_follow")


def _roll_back(work: Work) -> None:
    tls.use(work, work.tools.guests(work.resource_id, work.context).roll_back_tls(
        tm.TlsRollback(operation_id=work.id, step="tls")), at_once=bool(_replicas(work)))


def _follow(work: Work, step: str = "follow") -> None:
    """Have replicas follow as their source speaks now."""
    roles.each(work, _replicas(work),
               lambda one: roles.move(work, one, work.resource_id, step))


def _record(work: Work) -> None:
    # agents are asked: a step that is repeated may have made another certificate
    for one in (*_replicas(work), work.resource_id):
        tls.write_down(work.on(one))


RUNBOOKS = tuple(
    Runbook(action, (
        Step("begin", _begin, _undo),
        Step("tls", change, _unset),
        Step("follow", _follow),
        Step("end", _end, _undo),
        Step("record", _record, final=True),
    ), ending.succeed_set, ending.fail_set)
    for action, change in ((payloads.INSTANCE_SET_TLS, _set),
                           (payloads.INSTANCE_ROLL_BACK_TLS, _roll_back)))
