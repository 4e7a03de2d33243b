"""Give an instance another release of the agent; one that does not work is taken back.

The agent's own trial sees to that even if nobody asks it any more.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from trove_ng.common.errors import GuestTimeout, TroveError
from trove_ng.db.repositories import service_statuses
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import payloads
from trove_ng.operations.lost import ServerLost
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import BusAway
from trove_ng.rpc.machine_messages import TRIAL, AgentRelease, AgentVersion

LOG = logging.getLogger(__name__)


def _wanted(work: Work) -> payloads.UpgradeAgent:
    return work.payload(payloads.UpgradeAgent)


def _agent(work: Work) -> GuestClient:
    return work.tools.guests(work.resource_id, work.context)


def _told(work: Work) -> tuple[str, str]:
    """Return the version that the agent told last, and the one that it has on trial."""
    with work.reader() as session:
        row = service_statuses.get(session, work.resource_id)
    return ("", "") if row is None else (row.agent_version, str(row.details.get(TRIAL, "")))


def _insist(work: Work, what: str, ask: Callable[[], None], done: Callable[[], bool]) -> None:
    """Ask an agent until heartbeats tell that it did what it was asked.

    :param what: is waited for
    :raises StepFailed: it takes too long
    """
    clock, silence = work.tools.clock, work.tools.conf.prepare_retry
    asked: float | None = None

    def look() -> bool | None:
        nonlocal asked
        if asked is None or clock.monotonic() - asked > silence:
            # a lost answer may have been to a request that arrived
            with contextlib.suppress(GuestTimeout):
                ask()
                asked = clock.monotonic()
        return done() or None

    if not done():
        work.wait(what, look, work.tools.conf.agent_start_timeout, in_store=True)


def _install(work: Work) -> None:
    """Have the release installed, and wait until heartbeats say so.

    From then on one without it says that the trial has ended.
    """
    wanted = _wanted(work)
    _insist(work, "the agent to install the package", lambda: _agent(work).install_agent(
        AgentRelease(operation_id=work.id, step="install", version=wanted.version,
                     location=wanted.location, sha256=wanted.sha256)),
            lambda: wanted.version in _told(work))


def _discard(work: Work) -> None:
    """Have the agent go back; one that does not answer does so by itself.

    :raises StepFailed: it is still the new one
    """
    answered = False

    def ask() -> None:
        nonlocal answered
        try:
            _agent(work).discard_agent(
                messages.StepRequest(operation_id=work.id, step="discard"))
        except (StoreAway, BusAway, GuestTimeout, ServerLost):
            raise
        except TroveError as err:
            LOG.warning("operation %s: the agent of instance %s is left to itself: %s", work.id,
                        work.resource_id, err.message)
        answered = True

    # what it told last may be older than what it was asked for last
    _insist(work, "the agent that was there before", ask,
            lambda: answered and _wanted(work).version not in _told(work))


def _restart(work: Work) -> None:
    """Have the new release started, and wait until it is heard.

    :raises StepFailed: it is not, or the one before is back
    """
    wanted = _wanted(work).version

    def heard() -> bool:
        version, trial = _told(work)
        if version != wanted and trial != wanted:
            raise StepFailed("The new agent did not work; the one before is back.")
        return version == wanted

    _insist(work, "the new agent", lambda: _agent(work).restart_agent(
        messages.StepRequest(operation_id=work.id, step="restart_agent")), heard)


def _confirm(work: Work) -> None:
    _agent(work).confirm_agent(AgentVersion(
        operation_id=work.id, step="confirm", version=_wanted(work).version))


RUNBOOK = Runbook(payloads.INSTANCE_UPGRADE_AGENT, (
    Step("install", _install, _discard),
    Step("restart", _restart),
    Step("confirm", _confirm, final=True),
), ending.succeed, ending.fail_unchanged, cancellable=True)
