"""Boot the server of an instance again."""

from __future__ import annotations

from trove_ng.operations import fencing, guest, moving, payloads, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work

_REBOOTS = ("REBOOT", "HARD_REBOOT")


def _reboot(work: Work) -> None:
    """Reboot; a server that does not run, or failed, is booted the hard way.

    A worker that takes over may boot it once more, which does no harm.
    """
    server, compute = servers.existing(work), work.tools.clouds.compute
    if server.status not in _REBOOTS:
        compute.reboot_server(server.id, hard=server.status != "ACTIVE")
    servers.note_server(work, servers.wait_for_server(work, server.id, "ACTIVE"))
    fencing.reopen(work)


def _wait(work: Work) -> None:
    guest.wait_for_database(work, work.resource_id, or_stopped=True)


RUNBOOK = Runbook(payloads.INSTANCE_REBOOT, (
    Step("reboot", _reboot), Step("agent", moving.answers), Step("database", _wait),
), ending.succeed, ending.fail_unchanged)
