"""Move an instance's server to another machine; go back when it does not work there."""

from __future__ import annotations

from trove_ng.cloud.types import Server
from trove_ng.operations import database, moving, payloads, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


def _migrate(work: Work) -> None:
    host, compute = work.payload(payloads.MigrateInstance).host, work.tools.clouds.compute
    moving.move(work, lambda _server: True,
                lambda server_id: compute.migrate_server(server_id, host),
                "The server was not migrated.")


def _stayed(_server: Server) -> None:
    """Nothing of the instance says on which machine its server is."""


def _revert(work: Work) -> None:
    moving.revert(work, _stayed)


def _confirm(work: Work) -> None:
    servers.note_server(work, moving.confirm(work))


RUNBOOK = Runbook(payloads.INSTANCE_MIGRATE, (
    Step("stop", database.stop, database.start_again),
    Step("migrate", _migrate, _revert),
    Step("agent", moving.answers),
    Step("start", database.start),
    Step("confirm", _confirm, final=True),
), ending.succeed_restarted, ending.fail_unchanged, cancellable=True)
