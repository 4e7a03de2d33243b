"""What a step works with."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.common.secret import Secret
from trove_ng.db.models import Operation
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database
from trove_ng.operations import payloads
from trove_ng.operations.lease import Later, Lease
from trove_ng.operations.lost import require_server
from trove_ng.rpc.messages import Message, OrderedRequest

if TYPE_CHECKING:
    from trove_ng.cloud.session import Clouds
    from trove_ng.datastores.base import Datastore
    from trove_ng.rpc.guest import GuestClient

T = TypeVar("T")
P = TypeVar("P", bound=payloads.Payload)


#: why a cancelled operation ended
CANCELLED = "The operation was cancelled."


class StepFailed(Exception):
    """The work cannot be done.

    :param message: why; shown to the owner of the resource, so it holds no secret and no
        internal detail
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Cancelled(StepFailed):
    """The owner of the resource asked to cancel the operation."""

    def __init__(self) -> None:
        super().__init__(CANCELLED)


class Guests(Protocol):
    """Makes the client that speaks to one instance's agent."""

    def __call__(self, instance_id: str, context: RequestContext | None = None) -> GuestClient:
        """Return the client."""


class Overdue(StepFailed):
    """The time for it is over."""


@dataclasses.dataclass(frozen=True)
class Tools:
    """What all run-books work with, made once in a process.

    :param operation_box: opens the secrets of operations
    :param key_box: seals the keys of guests
    :param datastores: declarations by manager name
    :param recorder: is told what becomes of operations and their steps
    :param told: what instances use is told to other services
    """

    conf: cfg.ConfigOpts
    db: Database
    clock: Clock
    clouds: Clouds
    guests: Guests
    operation_box: SecretBox
    key_box: SecretBox
    datastores: Mapping[str, Datastore]
    recorder: Recorder = SILENT
    told: bool = False

    def guarded(self, guard: Callable[[bool], None], passed: Callable[[Message], Message],
                region: str | None = None) -> Tools:
        """Return tools with a guard before each call of the cloud, or a guest.

        :param guard: see :data:`trove_ng.cloud.calls.Guard`
        :param passed: see :meth:`trove_ng.rpc.guest.GuestClient.passing`
        :param region: whose services they are; None: those of the same one
        """
        def guests(instance_id: str, context: RequestContext | None = None) -> GuestClient:
            return self.guests(instance_id, context).passing(
                passed, lambda: require_server(made, instance_id))

        clouds = self.clouds.guarded(guard)
        made = dataclasses.replace(
            self, clouds=clouds if region is None else clouds.in_region(region), guests=guests)
        return made


class Work:
    """One operation under way.

    Its tools are of the region that its resource is in.

    :param operation: its row as it was when it was claimed, detached
    :param region: of its resource; None: the configured one
    """

    def __init__(self, tools: Tools, operation: Operation, lease: Lease,
                 region: str | None = None) -> None:
        # a write of a worker that lost its lease is refused by the store; nobody but the
        # worker itself can refuse its calls
        self.tools = tools.guarded(self._guard, self._sign, region)
        self.lease = lease
        self.id = operation.id
        self.action = operation.action
        self.resource_id = operation.resource_id
        self.tenant_id = operation.tenant_id
        self.accepted = operation.created
        self.failure: str | None = operation.error
        self.context = RequestContext(
            project_id=operation.tenant_id, user_id=operation.user_id,
            request_id=operation.request_id, region=operation.region_id or "")
        self._payload = dict(operation.payload)
        self._secrets = operation.secrets
        self._deadline = operation.deadline_at
        #: it waited for others, and goes on with the step that did
        self.waited = operation.not_before is not None
        self._may_cancel = False
        self._limit: datetime.datetime | None = None
        self._limit_says = ""
        #: whose fault it is that a step cannot be undone, if not that of the resource
        self.blamed_id: str | None = None
        #: whether it ends because it was cancelled, also when an earlier worker saw that
        self.cancelled = operation.cancel_requested and operation.error == CANCELLED

    def _guard(self, only_once: bool) -> None:
        if only_once:
            self.lease.prove(self.tools.db)
        else:
            self.lease.check()

    def _sign(self, request: Message) -> Message:
        """Return what is sent to an agent with its place among what the operation sends.

        :raises Abandoned: the lease has ended
        """
        self.lease.prove(self.tools.db)
        if not isinstance(request, OrderedRequest):
            return request
        return msgspec.structs.replace(
            request, operation_id=self.id, fence=self.lease.fence,
            word=self.lease.next_word())

    def payload(self, kind: type[P]) -> P:
        """Return what was asked for."""
        return payloads.load(self._payload, kind)

    def on(self, resource_id: str) -> Work:
        """Return the same work, on another resource than the operation's."""
        other = copy.copy(self)
        other.resource_id = resource_id
        return other

    def secrets(self) -> dict[str, Secret]:
        """Return the secret part of what was asked for."""
        if self._secrets is None:
            return {}
        text = self.tools.operation_box.open(self._secrets, self.id)
        return {name: Secret(value) for name, value in json.loads(text).items()}

    @contextlib.contextmanager
    def writer(self) -> Iterator[Session]:
        """Give a session whose work is committed only while the lease holds."""
        with self.lease.writer(self.tools.db) as session:
            yield session

    @contextlib.contextmanager
    def reader(self) -> Iterator[Session]:
        """Give a session for reading."""
        with self.tools.db.reader() as session:
            yield session

    def begin_undo(self) -> None:
        """Give the undoing of steps a time of its own; it is not cancelled."""
        self._may_cancel = False
        self.blamed_id = None
        self.limit(None)
        self._deadline = self.tools.clock.now() + datetime.timedelta(
            seconds=self.tools.conf.operations.undo_timeout)

    def allow_cancel(self, allowed: bool) -> None:
        """Say whether the step that begins may be cancelled."""
        self._may_cancel = allowed

    def overdue(self) -> bool:
        """Return whether even the time to clean up is over."""
        undo = datetime.timedelta(seconds=self.tools.conf.operations.undo_timeout)
        return self._deadline is not None and (
            self.tools.clock.now() > self._deadline + undo)

    def check(self) -> None:
        """Raise unless the work may go on.

        :raises Abandoned: the lease has ended
        :raises Cancelled: it is asked to be cancelled, and may be
        :raises Overdue: the time is over
        """
        self.lease.check()
        if self._may_cancel and self.lease.cancelled:
            raise Cancelled
        if self._deadline is not None and self.tools.clock.now() > self._deadline:
            raise Overdue(f"{self.action} took too long.")
        if self._limit is not None and self.tools.clock.now() > self._limit:
            raise Overdue(self._limit_says)

    def limit(self, end: datetime.datetime | None, says: str = "") -> None:
        """Have the work fail after a time that comes before its own end; None: no more.

        :param says: why it fails then
        """
        self._limit, self._limit_says = end, says

    def wait(self, what: str, probe: Callable[[], T | None],
             timeout: float | None = None, *, in_store: bool = False) -> T:
        """Return what a probe finds, as soon as it is not None.

        :param what: what is waited for, for the message of a timeout
        :param timeout: seconds; None waits until the operation's own deadline
        :param in_store: the probe reads our database alone, and may do so more often
        :raises StepFailed: it was not found in time
        """
        conf = self.tools.conf.operations
        end = None if timeout is None else self.tools.clock.monotonic() + timeout
        pause = conf.poll_interval
        longest = conf.store_poll_interval_max if in_store else conf.poll_interval_max
        while True:
            self._check_wait(what)
            found = probe()
            if found is not None:
                return found
            if end is not None and self.tools.clock.monotonic() > end:
                raise StepFailed(f"Timed out waiting for {what}.")
            self.lease.sleep(pause)
            pause = min(pause * 1.25, longest)

    def wait_for_others(self, what: str, probe: Callable[[], T | None]) -> T:
        """Return what a probe finds of other operations, with which the step may go on.

        It is looked for once.  Who waited for others in a thread could have all threads that
        they need; so the step begins again from its beginning, later and later.

        :param what: what is waited for, for the message of a timeout
        :raises Later: it is not found yet
        :raises StepFailed: it was not found until the operation's own deadline
        """
        self._check_wait(what)
        found = probe()
        if found is not None:
            return found
        conf = self.tools.conf.operations
        age = (self.tools.clock.now() - self.accepted).total_seconds()
        raise Later(self.id, min(max(age / 4, conf.poll_interval), conf.others_interval_max))

    def _check_wait(self, what: str) -> None:
        try:
            self.check()
        except Cancelled:
            raise
        except StepFailed:
            raise StepFailed(f"Timed out waiting for {what}.") from None

    @property
    def members(self) -> list[str]:
        """The instances that the request names beside its resource."""
        found = [self._payload.get("source_id"), *(self._payload.get("replica_ids") or ())]
        return [str(one) for one in found if one]

    def progress(self, percent: int) -> None:
        """Show how far the operation is, in percent."""
        with self.writer() as session:
            operations.note(session, self.id, percent=percent)
