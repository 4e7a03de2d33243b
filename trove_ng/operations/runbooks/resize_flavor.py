"""Give an instance's server another flavor; go back when it does not work there."""

from __future__ import annotations

from trove_ng.cloud.types import Server
from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.db.repositories import instances, quotas
from trove_ng.operations import guest, payloads, servers, usage
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages

#: statuses of a server that no resize is about
_AT_REST = ("ACTIVE", "SHUTOFF")


def _server(work: Work) -> Server:
    instance = servers.load(work)
    found = (work.tools.clouds.compute.get_server(instance.compute_instance_id)
             if instance.compute_instance_id else None)
    if found is None:
        raise StepFailed("The server is gone.")
    return found


def _stop(work: Work) -> None:
    work.tools.guests(work.resource_id, work.context).stop_db(
        messages.StepRequest(operation_id=work.id, step="stop"))


def _start_as(work: Work, step: str, memory_mb: int) -> None:
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    client = work.tools.guests(instance.id, work.context)
    request = messages.ResizeRequest(
        operation_id=work.id, step=step, memory_mb=memory_mb,
        config=work.tools.datastores[version.manager].config(memory_mb))
    client.start_db_with_conf_changes(request)
    guest.wait_for_database(work, instance.id)


def _start_again(work: Work) -> None:
    _start_as(work, "start_again", servers.load(work).flavor_ram)


def _resize(work: Work) -> None:
    flavor_id = work.payload(payloads.ResizeFlavor).server_flavor_id
    server = _server(work)
    if server.status == "ACTIVE" and not server.task_state and server.flavor_id != flavor_id:
        work.tools.clouds.compute.resize_server(server.id, flavor_id)
    server = servers.wait_for_server(work, server.id, "VERIFY_RESIZE", *_AT_REST)
    if server.status != "VERIFY_RESIZE":
        raise StepFailed(server.fault or "The server was not resized.")
    servers.note_server(work, server)


def _revert(work: Work) -> None:
    server, asked = _server(work), work.tools.clock.now()
    moved = server.status not in _AT_REST
    if moved:
        server = servers.wait_for_server(work, server.id, "VERIFY_RESIZE", *_AT_REST)
    if server.status == "VERIFY_RESIZE":
        work.tools.clouds.compute.revert_resize(server.id)
        server = servers.wait_for_server(work, server.id, *_AT_REST)
    if server.flavor_id == work.payload(payloads.ResizeFlavor).server_flavor_id:
        _keep(work)
    if moved:
        guest.wait_for_agent(work, work.resource_id, asked)
    servers.note_server(work, server)


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


def _answers(work: Work) -> None:
    """Wait until the agent of the moved server takes calls."""
    asked = work.tools.clock.now()
    guest.wait_for_agent(work, work.resource_id, asked)


def _start(work: Work) -> None:
    _start_as(work, "start", work.payload(payloads.ResizeFlavor).ram_mb)


def _confirm(work: Work) -> None:
    server = _server(work)
    if server.status == "VERIFY_RESIZE":
        work.tools.clouds.compute.confirm_resize(server.id)
    server = servers.wait_for_server(work, server.id, *_AT_REST)
    _keep(work)
    servers.note_server(work, server)


RUNBOOK = Runbook(payloads.INSTANCE_RESIZE_FLAVOR, (
    Step("stop", _stop, _start_again),
    Step("resize", _resize, _revert),
    Step("agent", _answers),
    Step("start", _start),
    Step("confirm", _confirm, final=True),
), ending.succeed_restarted, ending.fail_unchanged, cancellable=True)
