"""An engine on a real store, with run-books of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from oslo_config import cfg

from trove_ng.cloud.calls import Guard
from trove_ng.common.clock import SystemClock
from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.secret import Secret
from trove_ng.conf import operations as operations_conf
from trove_ng.db.models import Operation
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database
from trove_ng.operations import payloads
from trove_ng.operations.engine import Engine, Observer, nobody
from trove_ng.operations.lease import Lease
from trove_ng.operations.requests import PURPOSE, Requests
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import Tools, Work

RESOURCE = "5f7ac1a3-0000-4000-8000-000000000001"


class NoClouds:
    """The cloud of run-books that use none."""

    def guarded(self, _guard: Guard) -> NoClouds:
        return self


class Bench:
    """Accepts operations and runs them, as the API and a taskmanager do."""

    def __init__(self, conf: cfg.ConfigOpts, db: Database) -> None:
        self.clock = SystemClock()
        self.db = db
        box = SecretBox(["a-secret-for-tests"], PURPOSE)
        self.tools = Tools(conf=conf, db=db, clock=self.clock, clouds=NoClouds(), guests=None,
                           operation_box=box, key_box=box, datastores={})
        self.requests = Requests(conf, box)
        self.ended: list[tuple[str, str | None]] = []

    def submit(self, secrets: Mapping[str, Secret] | None = None, *,
               supersede: bool = False) -> str:
        """Accept an operation, return its id."""
        with self.db.writer() as session:
            return self.requests.submit(
                session, action="test.run", resource_type="instance", resource_id=RESOURCE,
                tenant_id="tenant", context=RequestContext("tenant"), secrets=secrets,
                payload=payloads.RestartInstance(), now=self.clock.now(),
                supersede=supersede).id

    def claim(self, operation_id: str, owner: str = "one", lease: float = 30) -> Lease | None:
        """Take an operation."""
        with self.db.writer() as session:
            fence = operations.claim(session, operation_id, owner, self.clock.now(), lease)
        return None if fence is None else Lease(operation_id, fence)

    def cancel(self, operation_id: str) -> None:
        """Ask to cancel an operation, as the API does."""
        with self.db.writer() as session:
            row = operations.get(session, operation_id, lock=True)
            assert row is not None
            row.cancel_requested = True

    def run(self, lease: Lease, *steps: Step, cancellable: bool = False,
            observe: Observer = nobody) -> None:
        """Run a book of these steps."""
        book = Runbook("test.run", steps,
                       lambda work, session: self.ended.append(("succeeded", None)),
                       lambda work, session, why: self.ended.append(("failed", why)),
                       cancellable)
        Engine(self.tools, {"test.run": book}, observe).run(lease)

    def row(self, operation_id: str) -> Operation:
        """Return the operation as stored."""
        with self.db.reader() as session:
            found = operations.get(session, operation_id)
        assert found is not None
        return found


@pytest.fixture
def bench(store_conf: cfg.ConfigOpts, database: Database) -> Bench:
    """See :class:`Bench`."""
    operations_conf.register(store_conf)
    return Bench(store_conf, database)


@pytest.fixture
def said() -> list[str]:
    """What the steps of a test did, in order."""
    return []


@pytest.fixture
def step(said: list[str]) -> Callable[..., Step]:
    """Make a step that tells what it does."""
    def make(name: str, do: Callable[[Work], None] | None = None,
             undo: Callable[[Work], None] | None = None, *, final: bool = False) -> Step:
        def doing(work: Work) -> None:
            said.append(name)
            if do:
                do(work)

        def undoing(work: Work) -> None:
            said.append(f"undo {name}")
            if undo:
                undo(work)
        return Step(name, doing, undoing, final)
    return make
