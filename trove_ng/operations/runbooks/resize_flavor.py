"""Give an instance's server another flavor; go back when it does not work there."""

from __future__ import annotations

from trove_ng.cloud.types import Server
from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.db.repositories import instances, quotas
from trove_ng.operations import database, moving, payloads, servers, usage
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


def _resize(work: Work) -> None:
    flavor_id = work.payload(payloads.ResizeFlavor).server_flavor_id
    compute = work.tools.clouds.compute
    moving.move(work, lambda server: server.flavor_id != flavor_id,
                lambda server_id: compute.resize_server(server_id, flavor_id),
                "The server was not resized.")


def _revert(work: Work) -> None:
    wanted = work.payload(payloads.ResizeFlavor).server_flavor_id

    def stayed(server: Server) -> None:
        if server.flavor_id == wanted:
            _keep(work)

    moving.revert(work, stayed)


def _keep(work: Work) -> None:
    """Write that the server has the new flavor for good."""
    wanted = work.payload(payloads.ResizeFlavor)
    with work.writer() as session:
        found = instances.get(session, work.resource_id)
        if found is None or found.flavor_id == wanted.flavor_id:
            return
        before = found.flavor_ram
        smaller = before - wanted.ram_mb
        found.flavor_id, found.flavor_ram = wanted.flavor_id, wanted.ram_mb
        if smaller > 0:
            quotas.release(session, found.tenant_id, {"ram": smaller})
        quotas.commit(session, work.id)
        usage.note(work, session, told.NEW_FLAVOR, found, old_instance_size=before,
                   modify_at=isoformat(work.tools.clock.now()))


def _start(work: Work) -> None:
    database.start_as(work, "start", work.payload(payloads.ResizeFlavor).ram_mb)


def _confirm(work: Work) -> None:
    server = moving.confirm(work)
    _keep(work)
    servers.note_server(work, server)


RUNBOOK = Runbook(payloads.INSTANCE_RESIZE_FLAVOR, (
    Step("stop", database.stop, database.start_again),
    Step("resize", _resize, _revert),
    Step("agent", moving.answers),
    Step("start", _start),
    Step("confirm", _confirm, final=True),
), ending.succeed_restarted, ending.fail_unchanged, cancellable=True)
