"""Moving a server to another machine, or another size: go there, come back, stay."""

from __future__ import annotations

from collections.abc import Callable

from trove_ng.cloud.types import Server
from trove_ng.operations import guest, servers
from trove_ng.operations.work import StepFailed, Work

#: status of a server that moved and may still go back
_THERE = "VERIFY_RESIZE"


def move(work: Work, wanted: Callable[[Server], bool], ask: Callable[[str], None],
         failure: str) -> None:
    """Ask for the move unless that was done, and wait until it is.

    :param wanted: says of a server at rest whether it is not there yet
    :param ask: asks the cloud; given the server's id
    :param failure: what to say when the server stays where it is
    """
    server = servers.existing(work)
    if server.status == "ACTIVE" and not server.task_state and wanted(server):
        ask(server.id)
    server = servers.wait_for_server(work, server.id, _THERE, *servers.AT_REST)
    if server.status != _THERE:
        raise StepFailed(server.fault or failure)
    servers.note_server(work, server)


def revert(work: Work, stayed: Callable[[Server], None]) -> None:
    """Bring the server back, if it moved.

    :param stayed: told of the server when it is at rest
    """
    server, asked = servers.existing(work), work.tools.clock.now()
    moved = server.status not in servers.AT_REST
    if moved:
        server = servers.wait_for_server(work, server.id, _THERE, *servers.AT_REST)
    if server.status == _THERE:
        work.tools.clouds.compute.revert_resize(server.id)
        server = servers.wait_for_server(work, server.id, *servers.AT_REST)
    stayed(server)
    if moved:
        guest.wait_for_agent(work, work.resource_id, asked)
    servers.note_server(work, server)


def answers(work: Work) -> None:
    """Wait until the agent of the moved server takes calls."""
    asked = work.tools.clock.now()
    guest.wait_for_agent(work, work.resource_id, asked)


def confirm(work: Work) -> Server:
    """Let the server stay where it is; return it."""
    server = servers.existing(work)
    if server.status == _THERE:
        work.tools.clouds.compute.confirm_resize(server.id)
    return servers.wait_for_server(work, server.id, *servers.AT_REST)
