"""Take a source that is lost, or whose database is, out of its set: a replica takes its place.

What the source committed and no replica received is not in the set any more; nobody writes to
the source from ``isolate`` on: an agent that lives has stopped the database, or the server is
off, or its ports are, and that is seen before a replica is told anything.  Until ``roles`` all
is taken back when something fails.

Where nobody asked for it the replica that was chosen may be lost, too, before it lets clients
write.  Then it is cut off as the source was, since it may have begun to, and the next one of those
that said how far they are takes its place.  What clients wrote to it is not in the set, as is what
a lost source committed last: nobody else has it, and nobody was told that it stays.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from trove_ng.cloud.errors import CloudError
from trove_ng.common.errors import Conflict, GuestError, ServiceUnavailable, TroveError
from trove_ng.db.repositories import instances, operations, service_statuses
from trove_ng.db.trouble import StoreAway
from trove_ng.domain import failover
from trove_ng.operations import access, fencing, payloads, roles, root, servers, stragglers
from trove_ng.operations.lost import ServerLost
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc.lines import BusAway

LOG = logging.getLogger(__name__)

#: step that asks the replicas, and what it notes: the ids of those that did not answer, and how
#: far those were that may take the place, who has most first
_HALT, _OUTCOME, _LEFT_OUT, _ORDER = "halt", "outcome", "left_out", "order"
#: what it notes of one that was chosen and is lost, too: the id of who takes its place
_LOST = "lost"
#: times of ``failover_candidate_timeout`` for which one that was chosen may be silent or down
_TIMES = 3
#: ``instances.error`` of a source that could not be put aside
_CODE = "EJECT"


def _chosen(work: Work) -> str | None:
    """Return the id of the replica that is the source by now."""
    line = _line(work)
    with work.reader() as session:
        for one in reversed(line):
            found = instances.get(session, one)
            if found is not None and found.slave_of_id is None:
                return one
    return None


def _line(work: Work) -> list[str]:
    """Return the ids of the replicas that were chosen, one after the other."""
    notes, line = _notes(work), list[str]()
    order = notes.get(_OUTCOME, {}).get(_ORDER)
    one = order[0][0] if order else None
    while one is not None:
        line.append(one)
        one = notes.get(f"{_LOST} {one}")
    return line


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
    roles.end_backups(work, [work.resource_id])
    try:
        access.close(work)
    except CloudError as err:
        if not roles.wanted(work).automatic:
            raise
        LOG.warning("source %s is let in at still: %s", work.resource_id, err.message)


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
        _give_back(work)
        return
    _note(work, fencing.release(work, _patience(work)))
    if fencing.was_asked(work):
        # also when it is silent just now: nothing else starts the database again
        roles.guest(work, work.resource_id).unfence(roles.step(work, "open"))


def _halt(work: Work) -> None:
    """Have no replica get any further, and choose the one that has most."""
    if _outcome(work):
        return
    roles.end_backups(work, roles.wanted(work).replica_ids)
    answers, silent = _ask(work)
    outcome = {_LEFT_OUT: sorted(silent), _ORDER: [
        [one, answers[one].progress, answers[one].history] for one in _order(answers)]}
    with work.writer() as session:
        operations.note_found(session, work.id, _HALT, _OUTCOME, outcome)


def _outcome(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = _notes(work).get(_OUTCOME, {})
    return found


def _far(work: Work) -> dict[str, stragglers.Taken]:
    """Return how far those were that may take the place, in their order."""
    return {one: stragglers.Taken(*far) for one, *far in _outcome(work)[_ORDER]}


def _notes(work: Work) -> dict[str, Any]:
    with work.reader() as session:
        return operations.found(session, work.id, _HALT)


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


def _order(answers: Mapping[str, rm.Position]) -> list[str]:
    """Return the ids of those that may take the place, who has most first.

    :raises StepFailed: there is none, or it cannot be told which is the first
    """
    order = [_best(answers)]
    # of those that are left it may not be told
    with contextlib.suppress(StepFailed):
        while rest := {one: far for one, far in answers.items() if one not in order}:
            order.append(_best(rest))
    return order


def _go_on(work: Work) -> None:
    if _chosen(work) is None:
        roles.each(work, roles.wanted(work).replica_ids, lambda one: roles.guest(
            work, one).receive_again(roles.step(work, "go_on")))


def _apart(work: Work) -> set[str]:
    """Return the ids of all that are not to follow the new source."""
    return {work.resource_id, *_line(work), *_outcome(work)[_LEFT_OUT],
            *roles.wanted(work).others}


def _roles(work: Work) -> None:
    """Have the replica that has most be the source."""
    if _chosen(work) is None:
        roles.write(work, _line(work)[0], ejected=True, without=_apart(work))


def _writable(work: Work) -> None:
    """Have clients write to the one that was chosen, or to the next where that is lost, too."""
    while not _lets_write(work, source_id := _source(work)):
        _replace(work, source_id)


def _lets_write(work: Work, source_id: str) -> bool:
    """Have clients write to a source; return False when it was given up."""
    if _is_given_up(work, source_id):
        return False
    try:
        return roles.open_source(
            work, source_id, "take_over",
            lambda: _is_lost(work, source_id) and _give_up(work, source_id))
    except ServerLost:
        if not _give_up(work, source_id):
            raise
        return False


def _is_given_up(work: Work, source_id: str) -> bool:
    """Return whether another one is to take the place of one that was chosen."""
    return _line(work)[-1] != source_id


def _is_lost(work: Work, instance_id: str) -> bool:
    """Return whether an agent is silent for long, or says that its database does not serve."""
    seconds = _TIMES * work.tools.conf.failover_candidate_timeout
    now = work.tools.clock.now()
    with work.reader() as session:
        row = service_statuses.get(session, instance_id)
    return not service_statuses.is_fresh(row, now, seconds) or (
        row is not None and row.down_since is not None
        and (now - row.down_since).total_seconds() > seconds)


def _give_up(work: Work, source_id: str) -> bool:
    """Note who takes the place of one that was chosen and is lost, too; return whether anybody.

    Who is lost as well does not: where nobody is heard it may be the service that is deaf.
    """
    if not roles.wanted(work).automatic:
        return False
    line = _line(work)
    following = next((one for one in _far(work)
                      if one not in line and not _is_lost(work, one)), None)
    if following is None:
        return False
    LOG.warning("replica %s of source %s is lost, too: %s takes the place", source_id,
                work.resource_id, following)
    with work.writer() as session:
        operations.note_found(session, work.id, _HALT, f"{_LOST} {source_id}", following)
        ending.note_fault(
            work, session, f"The source was lost, and this replica as it took its place: "
            f"replica {following} does.", source_id)
    return True


def _replace(work: Work, lost_id: str) -> None:
    """Have the next one be the source instead of one that was given up.

    That may let clients write by now: its answer may be what was lost.
    """
    lost = work.on(lost_id)
    try:
        access.close(lost)
    except CloudError as err:
        LOG.warning("replica %s is let in at still: %s", lost_id, err.message)
    # until then there is no way back: it may be off the next moment
    fencing.isolate(lost, None)
    roles.write(work, _line(work)[-1], ejected=True, before_id=lost_id, without=_apart(work))


def _give_back(work: Work) -> None:
    """Let one live again that was given up, where nobody took its place in the end."""
    source_id = _source(work)
    if _is_given_up(work, source_id):
        one = work.on(source_id)
        _note(one, fencing.release(one, _patience(work)))
        access.open_for(one, servers.load(one).access or {})


def _follow(work: Work) -> None:
    source_id = _source(work)

    def follow(one: str) -> None:
        with roles.insisting():
            roles.move(work, one, source_id, "follow")

    roles.each(work, _followers(work), follow)


def _followers(work: Work) -> list[str]:
    apart = _apart(work)
    return [one for one in roles.wanted(work).replica_ids if one not in apart]


def _along(work: Work) -> None:
    """Have those follow as well that had no part in the choice."""
    source_id = _source(work)
    stragglers.bring_along(work, source_id, _far(work)[source_id], _HALT)


def _settle(work: Work) -> None:
    source_id = _source(work)
    root.try_to_look(work.on(source_id))
    roles.settle(work, source_id, _followers(work))


def _aside(work: Work) -> None:
    """Leave the server of the source off; what fails here is a fault of the source alone.

    That of each that took its place and was lost, too, is.
    """
    line = _line(work)
    for one in (work, *map(work.on, line[:line.index(_source(work))])):
        # nobody knows what it does: it is not what it would be shown as
        _note(one, fencing.put_aside(one), error=_CODE)


def _note(work: Work, why: str, **values: str) -> None:
    """Add to the faults of an instance what was not done, if anything.

    :param values: its columns that say so
    """
    if why:
        with work.writer() as session:
            ending.note_fault(work, session, why)
            row = servers.row(work, session)
            for name, value in values.items():
                setattr(row, name, value)


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
