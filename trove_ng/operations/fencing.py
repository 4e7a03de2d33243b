"""Cutting a server off for certain, so that what it holds is changed by nobody any more.

Nobody who still speaks with it is asked: the compute service says that the server is off, or
the network service that its ports are.  Either is enough, since the other one may not answer.
What was off, or closed, before is noted and stays so; a port that was not up then says nothing
by being down.  All functions may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from trove_ng.cloud.errors import CloudConflict, CloudError
from trove_ng.cloud.types import Server
from trove_ng.db.repositories import operations
from trove_ng.operations import access, payloads, servers
from trove_ng.operations.work import Cancelled, StepFailed, Work

_OFF, _UP, _DOWN = "SHUTOFF", "ACTIVE", "DOWN"
#: step of the operation that isolates, and what it notes: whether the server was off, the ids of
#: the ports that were open with whether they were up
STEP, _WAS_OFF, _PORTS = "isolate", "was_off", "ports"
#: what it notes when they are open again
_OPENED = "opened"
#: what it notes when the agent is asked to stop the database
_ASKED = "asked"
#: seconds that a server that is cut off already gets to end
_GRACE = 90.0


def isolate(work: Work, seconds: float | None) -> None:
    """Ask for the server to be off and for its ports to be closed; wait until one is seen.

    :param seconds: how long that may take; None: until the operation's own time is over
    :raises StepFailed: neither is; the message says why
    """
    # the one service may do what the other one does not
    _insist(work, "the server of the old source to be cut off", (_stop, _close_ports), seconds)


def _insist(work: Work, what: str, attempts: Sequence[Callable[[Work], bool]],
            seconds: float | None) -> None:
    """Wait until one of some attempts succeeds; a cloud that refuses is asked again.

    :param what: what is waited for
    :raises StepFailed: none does; the message says what was refused at last, too
    """
    refused: dict[Callable[[Work], bool], str] = {}

    def done() -> bool | None:
        found = False
        for attempt in attempts:
            try:
                found = attempt(work) or found
                refused.pop(attempt, None)
            except CloudError as err:
                refused[attempt] = err.message
        return found or None

    try:
        work.wait(what, done, seconds)
    except Cancelled:
        raise
    except StepFailed as err:
        raise StepFailed(" ".join([err.message, *refused.values()])) from err


def note_asked(work: Work) -> None:
    """Note that the agent is asked to stop the database, before it is."""
    _noted(work, _ASKED, True)


def was_asked(work: Work) -> bool:
    """Return whether the agent was asked to stop the database, and may have done so."""
    return bool(_found(work, _ASKED))


def _server(work: Work) -> Server | None:
    instance, compute = servers.load(work), work.tools.clouds.compute
    return (compute.get_server(instance.compute_instance_id)
            if instance.compute_instance_id else compute.find_server(instance.id))


def _stop(work: Work) -> bool:
    """Ask for the server to be off; return whether it is, or does not exist any more."""
    compute, found = work.tools.clouds.compute, _server(work)
    if found is None:
        # what the compute service does not find may run all the same: then nothing gets out
        return not servers.load(work).compute_instance_id or not any(
            port.is_open for port in work.tools.clouds.network.find_ports(work.resource_id))
    _noted(work, _WAS_OFF, found.status == _OFF)
    if found.task_state is None and found.status != _OFF:
        try:
            compute.stop_server(found.id)
        except CloudConflict:
            # it may have stopped meanwhile, which the next look tells
            return False
    return found.status == _OFF and found.task_state is None


def _close_ports(work: Work) -> bool:
    """Close the ports; return whether all are seen to carry nothing."""
    network = work.tools.clouds.network
    found = network.find_ports(work.resource_id)
    before = _noted(work, _PORTS, {
        port.id: port.status == _UP for port in found if port.is_open})
    for port in found:
        if port.is_open:
            network.switch_port(port.id, is_open=False)
    # only a word that came after all were closed counts, and only if it is another one
    return bool(found) and all(
        before.get(port.id) and not port.is_open and port.status == _DOWN
        for port in network.find_ports(work.resource_id))


def _noted(work: Work, name: str, value: Any) -> Any:
    """Note what is found before anything is changed; return what was found first."""
    with work.writer() as session:
        return operations.note_found(session, work.id, STEP, _key(name, work), value)


def _key(name: str, work: Work) -> str:
    """Return what a note is called: an operation may isolate several instances."""
    return f"{name} {work.resource_id}"


def _found(work: Work, name: str, default: Any = None) -> Any:
    with work.reader() as session:
        return operations.found(session, work.id, STEP).get(_key(name, work), default)


def put_aside(work: Work) -> str:
    """Leave an isolated server so that it can be looked into, and be started again one day.

    Its ports are opened when it is off, and its rules let nobody in.  One that was not isolated,
    since its agent stopped the database, runs on.  A cloud that refuses is asked again, but not
    for long.

    :return: what was not done, empty if all was
    """
    try:
        # also what is no use to ask again: nobody but an operator does it later
        _insist(work, "the server of the old source to stop", (_put_aside,),
                min(_GRACE, work.tools.conf.server_timeout))
    except Cancelled:
        raise
    except StepFailed as err:
        return f"{err.message} The ports of the old source may stay closed."
    return ""


def _put_aside(work: Work) -> bool:
    """Ask for the server to be off; return whether it is, and all else is done."""
    # before a port is opened again
    access.close(work)
    if not _is_cut_off(work):
        return True
    if not _stop(work):
        return False
    found = _server(work)
    if found is not None:
        servers.note_server(work, found)
    _open_ports(work)
    return True


def _is_cut_off(work: Work) -> bool:
    found = _server(work)
    return found is None or found.status == _OFF or found.task_state is not None or any(
        not port.is_open for port in work.tools.clouds.network.find_ports(work.resource_id))


def release(work: Work, seconds: float) -> str:
    """Let a server live again that was isolated.

    :param seconds: how long that may take; what takes longer may be on a machine that is lost
    :return: what was not done, empty if all was
    """
    _open_ports(work)
    if _found(work, _WAS_OFF, True):
        return ""
    compute = work.tools.clouds.compute
    found = servers.existing(work)
    # what it was told to do it does first
    try:
        if found.task_state is not None:
            found = servers.wait_for_server(work, found.id, *servers.AT_REST, seconds=seconds)
        if found.status == _OFF:
            compute.start_server(found.id)
        servers.note_server(work, servers.wait_for_server(
            work, found.id, "ACTIVE", seconds=seconds))
    except Cancelled:
        raise
    except StepFailed as err:
        return f"{err.message} The server of the source may be off, or be stopped yet."
    return ""


def _open_ports(work: Work) -> None:
    closed = _found(work, _PORTS)
    if closed is not None:
        _open(work, closed)
        _noted(work, _OPENED, True)


def reopen(work: Work) -> None:
    """Open the ports of a server that was booted again, if an ejection left them closed.

    Whoever was connected is not any more, and its rules say who is let in.
    """
    # it may have been chosen by one that is of another instance
    with work.reader() as session:
        left = operations.all_found(session, servers.load(work).tenant_id,
                                    payloads.INSTANCE_EJECT, STEP)
    closed = {ident for one in left if _key(_OPENED, work) not in one
              for ident in one.get(_key(_PORTS, work), {})}
    if closed:
        # they may not be as they should, where the network service refused that
        access.open_for(work, servers.load(work).access or {})
        _open(work, closed)


def _open(work: Work, closed: Container[str]) -> None:
    network = work.tools.clouds.network
    for port in network.find_ports(work.resource_id):
        if not port.is_open and port.id in closed:
            network.switch_port(port.id, is_open=True)
