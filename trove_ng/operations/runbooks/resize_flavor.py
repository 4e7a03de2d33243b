"""Give an instance's server another flavor; go back when it does not work there."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.cloud.types import Server
from trove_ng.db.repositories import quotas
from trove_ng.operations import guest, payloads, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages


def _server(work: Work) -> Server:
    instance = servers.load(work)
    found = (work.tools.clouds.compute.get_server(instance.compute_instance_id)
             if instance.compute_instance_id else None)
    if found is None:
        raise StepFailed("The server is gone.")
    return found


def _stop(work: Work) -> None:
    client = work.tools.guests(work.resource_id, work.context)
    guest.ask(work, lambda: client.stop_db(
        messages.StepRequest(operation_id=work.id, step="stop")))


def _start_as(work: Work, step: str, memory_mb: int) -> None:
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    client = work.tools.guests(instance.id, work.context)
    request = messages.ResizeRequest(
        operation_id=work.id, step=step, memory_mb=memory_mb,
        config=work.tools.datastores[version.manager].config(memory_mb))
    guest.ask(work, lambda: client.start_db_with_conf_changes(request))
    guest.wait_for_database(work, instance.id)


def _start_again(work: Work) -> None:
    _start_as(work, "start_again", servers.load(work).flavor_ram)


def _resize(work: Work) -> None:
    flavor_id = work.payload(payloads.ResizeFlavor).flavor_id
    server = _server(work)
    if server.status == "ACTIVE" and not server.task_state and server.flavor_id != flavor_id:
        work.tools.clouds.compute.resize_server(server.id, flavor_id)
    servers.note_server(work, servers.wait_for_server(work, server.id, "VERIFY_RESIZE"))


def _revert(work: Work) -> None:
    server = _server(work)
    if server.status not in ("VERIFY_RESIZE", "ACTIVE", "SHUTOFF"):
        server = servers.wait_for_server(work, server.id, "VERIFY_RESIZE", "ACTIVE", "SHUTOFF")
    if server.status == "VERIFY_RESIZE":
        asked = work.tools.clock.now()
        work.tools.clouds.compute.revert_resize(server.id)
        server = servers.wait_for_server(work, server.id, "ACTIVE")
        guest.wait_for_agent(work, work.resource_id, asked)
    servers.note_server(work, server)


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
    servers.note_server(work, servers.wait_for_server(work, server.id, "ACTIVE"))


def _succeed(work: Work, session: Session) -> None:
    wanted = work.payload(payloads.ResizeFlavor)
    found = ending.idle(work, session)
    if found is not None:
        smaller = found.flavor_ram - wanted.ram_mb
        found.flavor_id, found.flavor_ram = wanted.flavor_id, wanted.ram_mb
        if smaller > 0:
            quotas.release(session, found.tenant_id, {"ram": smaller})
    ending.succeed(work, session)


RUNBOOK = Runbook(payloads.INSTANCE_RESIZE_FLAVOR, (
    Step("stop", _stop, _start_again),
    Step("resize", _resize, _revert),
    Step("agent", _answers),
    Step("start", _start),
    Step("confirm", _confirm, final=True),
), _succeed, ending.fail_unchanged, cancellable=True)
