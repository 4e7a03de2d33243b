"""Take a source that is lost, or whose database is, out of its set: a replica takes its place.

What the source committed and no replica received is not in the set any more; nobody writes to
the source from ``isolate`` on: an agent that lives has stopped the database, or the server is
off, or its ports are, and that is seen before a replica is told anything.  Until ``roles`` all
is taken back when something fails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trove_ng.cloud.errors import CloudError
from trove_ng.common.errors import Conflict, GuestError, ServiceUnavailable, TroveError
from trove_ng.db.repositories import instances, operations, service_statuses
from trove_ng.db.trouble import StoreAway
from trove_ng.domain import failover
from trove_ng.operations import access, fencing, payloads, roles, root, servers, stragglers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc.lines import BusAway

LOG = logging.getLogger(__name__)

#: step that asks the replicas, and what it notes: the id of the one that has most, the ids of
#: those that did not answer, and how far that one was
_HALT, _OUTCOME, _BEST, _LEFT_OUT, _FAR = "halt", "outcome", "best", "left_out", "far"
#: ``instances.error`` of a source that could not be put aside
_CODE = "EJECT"
#: what backups say that keep agents from what is asked of them
_NO_SOURCE = "The backup was ended, because the source of its set is lost."


def _chosen(work: Work) -> str | None:
    """Return the id of the replica that is the source by now."""
    with work.reader() as session:
        for one in roles.wanted(work).replica_ids:
            found = instances.get(session, one)
            if found is not None and found.slave_of_id is None:
                return one
    return None


def _source(work: Work) -> str:
    found = _chosen(work)
    if found is None:
        raise StepFailed("The new source of the replicas is gone.")
    return found


def _heard(work: Work) -> bool:
    """Return whether the agent of the source lives; its database does not.

    Where nobody asked it is silent, and is not waited for, unless it spoke just then.
    """
    if roles.wanted(work).automatic:
        return roles.wanted(work).living
    with work.reader() as session:
        row = service_statuses.get(session, work.resource_id)
    return service_statuses.is_fresh(
        row, work.tools.clock.now(), work.tools.conf.agent_heartbeat_expiry)


def _fence(work: Work) -> None:
    """Let nobody in at the source any more, for the case that it lives, or comes back.

    Where nobody asked, a network service that is away does not keep the source: it is asked
    again when that is put aside.

    :raises StepFailed: its database, which was down, works again
    """
    if roles.wanted(work).living and not _is_down(work):
        raise StepFailed("The database of the source works again.")
    _end_backups(work, [work.resource_id])
    try:
        access.close(work)
    except CloudError as err:
        if not roles.wanted(work).automatic:
            raise
        LOG.warning("source %s is let in at still: %s", work.resource_id, err.message)


def _end_backups(work: Work, members: Sequence[str]) -> None:
    """Ask for the end of what agents do for hours, during which they do nothing else."""
    with work.writer() as session:
        operations.cancel_backups(session, members, payloads.BACKUPS_BY_AGENTS, _NO_SOURCE)


def _is_down(work: Work) -> bool:
    with work.reader() as session:
        row = service_statuses.get(session, work.resource_id)
    return row is None or row.down_since is not None


def _open(work: Work) -> None:
    if _chosen(work) is None:
        access.open_for(work, servers.load(work).access or {})


def _isolate(work: Work) -> None:
    """See that nobody writes to the source, also who was let in before."""
    if not _heard(work):
        fencing.isolate(work, _patience(work))
        return
    fencing.note_asked(work)
    try:
        roles.guest(work, work.resource_id).fence(roles.step(work, "fence"))
    except (StoreAway, BusAway):
        raise
    except TroveError as err:
        if not roles.wanted(work).automatic:
            raise
        # its disk may be dead, and it may have died since
        LOG.warning("the agent of source %s does not stop its database: %s", work.resource_id,
                    err.message)
        fencing.isolate(work, _patience(work))


def _patience(work: Work) -> float:
    """Return how long the cloud may take, in seconds: what nobody asked for is soon given up."""
    conf = work.tools.conf
    seconds: float = conf.server_timeout
    return min(seconds, conf.failover_isolation_timeout) if roles.wanted(
        work).automatic else seconds


def _release(work: Work) -> None:
    if _chosen(work) is not None:
        # another one is the source by now, whatever failed then
        stragglers.leave_behind(work, _HALT)
        _aside(work)
        return
    _note(work, fencing.release(work, _patience(work)))
    if fencing.was_asked(work):
        # also when it is silent just now: nothing else starts the database again
        roles.guest(work, work.resource_id).unfence(roles.step(work, "open"))


def _halt(work: Work) -> None:
    """Have no replica get any further, and choose the one that has most."""
    if _outcome(work):
        return
    _end_backups(work, roles.wanted(work).replica_ids)
    answers, silent = _ask(work)
    best = _best(answers)
    outcome = {_BEST: best, _LEFT_OUT: sorted(silent), _FAR: [
        answers[best].progress, answers[best].history]}
    with work.writer() as session:
        operations.note_found(session, work.id, _HALT, _OUTCOME, outcome)


def _outcome(work: Work) -> dict[str, Any]:
    with work.reader() as session:
        found: dict[str, Any] = operations.found(session, work.id, _HALT).get(_OUTCOME, {})
    return found


def _ask(work: Work) -> tuple[dict[str, rm.Position], dict[str, str]]:
    """Ask all replicas how far they are; return the answers, and of others why there is none.

    :raises ServiceUnavailable: one does not answer that must
    :raises Conflict: one that must answer works on something else
    :raises GuestError: all refuse, or one does that must not
    """
    set_ = roles.wanted(work)
    seconds = work.tools.conf.failover_candidate_timeout if set_.automatic else None
    answers: dict[str, rm.Position] = {}
    silent, refused = {}, 0
    for one in set_.replica_ids:
        try:
            answers[one] = roles.guest(work, one).stop_receiving(
                roles.step(work, _HALT), seconds)
        except (StoreAway, BusAway):
            raise
        except (GuestError, ServiceUnavailable, Conflict) as err:
            refused += isinstance(err, GuestError)
            if seconds is None or refused == len(set_.replica_ids):
                raise
            silent[one] = err.message
    if silent and not _can_do_without(work, answers, silent):
        raise ServiceUnavailable(" ".join(silent.values()))
    return answers, silent


def _can_do_without(work: Work, answers: Mapping[str, rm.Position],
                    silent: Iterable[str]) -> bool:
    """Return whether replicas had their time to answer, and told of no more than others have."""
    if all(answer.progress < 0 for answer in answers.values()):
        return False
    best = answers[_best(answers)]
    with work.reader() as session:
        begun = operations.step_began(session, work.id, _HALT)
        rows = [service_statuses.get(session, one) for one in silent]
        told = [service_statuses.get(session, one) for one in answers]
    if begun is None:
        return False
    # what was received may end within a change, which is not in the answer then
    most = max([best.progress, *(failover.progress(row.details) or 0 for row in told
                                 if row is not None
                                 and failover.history(row.details) == best.history)])
    age = (work.tools.clock.now() - begun).total_seconds()
    return age >= work.tools.conf.failover_candidate_timeout and all(
        row is not None and failover.has_no_more(row.details, most, best.history)
        for row in rows)


def _best(answers: Mapping[str, rm.Position]) -> str:
    """Return the id of the replica that has most, of several the one that comes first.

    :raises StepFailed: there is none, or it cannot be told which
    """
    found = {one: answer for one, answer in answers.items() if answer.progress >= 0}
    if not found:
        raise StepFailed("No replica has the data of the source.")
    if len({answer.history for answer in found.values()}) > 1:
        # numbers of several histories say nothing: the last is that of who heard the source last
        silent = {answer.silent: answer.history for answer in found.values()
                  if answer.silent is not None}
        if not silent:
            raise StepFailed("It cannot be told which replica has most of the source's changes.")
        found = {one: answer for one, answer in found.items()
                 if answer.history == silent[min(silent)]}
    return min(found, key=lambda one: (-found[one].progress, one))


def _go_on(work: Work) -> None:
    if _chosen(work) is None:
        roles.each(work, roles.wanted(work).replica_ids, lambda one: roles.guest(
            work, one).receive_again(roles.step(work, "go_on")))


def _roles(work: Work) -> None:
    """Have the replica that has most be the source."""
    if _chosen(work) is None:
        outcome = _outcome(work)
        roles.write(work, outcome[_BEST], ejected=True, without={
            *outcome[_LEFT_OUT], *roles.wanted(work).others})


def _writable(work: Work) -> None:
    roles.open_source(work, _source(work), "take_over")


def _follow(work: Work) -> None:
    source_id = _source(work)

    def follow(one: str) -> None:
        with roles.insisting():
            roles.move(work, one, source_id, "follow")

    roles.each(work, _others(work, source_id), follow)


def _others(work: Work, source_id: str) -> list[str]:
    others = {source_id, *_outcome(work)[_LEFT_OUT]}
    return [one for one in roles.wanted(work).replica_ids if one not in others]


def _along(work: Work) -> None:
    """Have those follow as well that had no part in the choice."""
    taken = stragglers.Taken(*_outcome(work)[_FAR])
    stragglers.bring_along(work, _source(work), taken, _HALT)


def _settle(work: Work) -> None:
    source_id = _source(work)
    root.try_to_look(work.on(source_id))
    roles.settle(work, source_id, _others(work, source_id))


def _aside(work: Work) -> None:
    """Leave the server of the source off; what fails here is a fault of the source alone."""
    # nobody knows what it does: it is not what it would be shown as
    _note(work, fencing.put_aside(work), error=_CODE)


def _note(work: Work, why: str, **values: str) -> None:
    """Add to the faults of the source what was not done, if anything.

    :param values: columns of the source that say so
    """
    if why:
        with work.writer() as session:
            ending.note_fault(work, session, why)
            source = servers.row(work, session)
            for name, value in values.items():
                setattr(source, name, value)


RUNBOOK = Runbook(payloads.INSTANCE_EJECT, (
    Step("fence", _fence, _open),
    Step("isolate", _isolate, _release),
    Step(_HALT, _halt, _go_on),
    Step("roles", _roles, final=True),
    Step("writable", _writable),
    Step("follow", _follow),
    Step("along", _along),
    Step("settle", _settle),
    # it is cut off already, and a database that still has something to send ends late
    Step("aside", _aside),
), ending.end_set, ending.fail_set)
