"""Have the database of an instance speak TLS with its clients, or no more, or as before."""

from __future__ import annotations

from trove_ng.operations import payloads, tls
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work
from trove_ng.rpc import tls_messages as tm


def _set(work: Work) -> None:
    wanted = work.payload(payloads.SetTls)
    if wanted.mode is None:
        request = tm.TlsRequest(operation_id=work.id, step="tls")
    elif wanted.reference is None:
        request = tls.issued(work, wanted.mode, renewal=wanted.renewal)
    else:
        request = tls.given(work, wanted.mode, wanted.reference)
    tls.use(work, work.tools.guests(work.resource_id, work.context).set_tls(request))


def _unset(work: Work) -> None:
    """Undo what this operation did, if it did: an answer may have been lost."""
    tls.use(work, work.tools.guests(work.resource_id, work.context).roll_back_tls(
        tm.TlsRollback(operation_id=work.id, step="undo_tls", undo=True)))


def _roll_back(work: Work) -> None:
    tls.use(work, work.tools.guests(work.resource_id, work.context).roll_back_tls(
        tm.TlsRollback(operation_id=work.id, step="tls")))


RUNBOOKS = (
    Runbook(payloads.INSTANCE_SET_TLS, (
        Step("tls", _set, _unset),
        # the agent is asked: a step that is repeated may have made another certificate
        Step("record", tls.write_down, final=True),
    ), ending.succeed, ending.fail_unchanged),
    Runbook(payloads.INSTANCE_ROLL_BACK_TLS, (
        Step("tls", _roll_back, _unset),
        Step("record", tls.write_down, final=True),
    ), ending.succeed, ending.fail_unchanged),
)
