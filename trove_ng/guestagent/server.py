"""A datastore whose server is one service that is asked whether it is well."""

from __future__ import annotations

import abc
import logging
from collections.abc import Sequence

from trove_ng.common.errors import GuestError, UnsavedChanges
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.manager import BaseManager
from trove_ng.guestagent.os.services import ServiceError
from trove_ng.guestagent.storage.http import Patience
from trove_ng.rpc import messages as m

LOG = logging.getLogger(__name__)

#: seconds that a look at the server may wait for it
PROBE_SECONDS = 3
#: seconds that a server that does not answer gets to end when it is stopped
HUNG_SECONDS = 10
HUNG = "The database runs and does not answer."


class ServerManager(BaseManager):
    """Starting, stopping and looking at the server."""

    #: candidates of the service's name, the likeliest first
    services: Sequence[str] = ()
    #: the server answered when it was last looked at: what it said of its source then is new
    answers = True

    @abc.abstractmethod
    def _ask(self) -> Finding:
        """Ask the server whether it is well; raises nothing."""

    @abc.abstractmethod
    def _find_cause(self, log: str) -> str:
        """Return why the server failed, as far as its log says: the end of a sentence."""

    def _own_log(self) -> str:
        """Return the end of the log that the server writes itself, if it does."""
        return ""

    def start_db(self) -> None:
        """Start the server and wait until it answers."""
        try:
            self._start()
        except GuestError as err:
            cause = self._cause()
            if not cause:
                raise
            raise GuestError(f"The database server does not start: {cause}") from err

    def _start(self) -> None:
        limit = self.ctx.conf.guest_agent.state_change_wait_time
        self.ctx.services.start(self.services, limit)
        end = self.ctx.clock.monotonic() + limit
        while (seen := self.probe()) is not ServiceStatus.HEALTHY:
            if self.ctx.clock.monotonic() > end or seen is ServiceStatus.SHUTDOWN and not (
                    self.ctx.services.is_running(self.services)):
                raise GuestError("The database server does not start; its log says why.")
            self.ctx.clock.sleep(0.2)

    def stop_db(self) -> None:
        """Stop the server and wait until it is gone; one that hangs is killed."""
        services, limit = self.ctx.services, self.ctx.conf.guest_agent.state_change_wait_time
        # also when it is down: its supervisor may be about to start it again
        if self._ask().reason != HUNG:
            services.stop(self.services, limit)
            return
        try:
            services.stop(self.services, min(limit, HUNG_SECONDS))
        except ServiceError:
            LOG.warning("the server hangs and is killed")
            self._kill()

    def _kill(self) -> None:
        self.ctx.services.kill(self.services)
        self.ctx.services.stop(
            self.services, self.ctx.conf.guest_agent.state_change_wait_time)

    def fence(self, request: m.StepRequest) -> m.Empty:
        """Stop the server, dead or hung as it may be; neither agent nor boot starts it again."""
        self.status.fence()
        self.ctx.services.disable(self.services)
        try:
            self.stop_db()
        except UnsavedChanges as err:
            # another one takes its place, with what that one has
            LOG.warning("the server is killed. %s", err.message)
            self._kill()
        self.status.update()
        return m.Empty()

    def unfence(self, request: m.StepRequest) -> m.Empty:
        """Have a server that was fenced run again, if it was to run before.

        One that cannot start is what it was: dead, and told so.
        """
        self.ctx.services.enable(self.services)
        self.status.unfence()
        if self.status.expects_running and self.probe() is ServiceStatus.SHUTDOWN:
            try:
                with self.status.restarting():
                    self.start_db()
            except GuestError as err:
                LOG.warning("the server that was fenced does not start: %s", err.message)
        return m.Empty()

    def probe(self) -> ServiceStatus:
        """Look whether the server answers."""
        return self._ask().status

    def examine(self) -> Finding:
        """Look whether the server answers and follows, and find in its log why it ended."""
        found = self._ask()
        self.answers = found.status is ServiceStatus.HEALTHY
        if found.status is ServiceStatus.SHUTDOWN and self.status.expects_running:
            cause = self._cause()
            return found._replace(reason=f"The database has ended: {cause}" if cause else
                                  "The database has ended, and its log does not say why.")
        if self.answers:
            trouble = self.replication_trouble()
            return found._replace(reason=found.reason or trouble)
        return found

    def replication_trouble(self) -> str:
        """Return why a replica that answers does not follow; empty if it does, or is none."""
        return ""

    @property
    def patience(self) -> Patience:
        """How long the object store is waited for."""
        conf = self.ctx.conf.guest_agent
        return Patience(tries=conf.object_store_tries, silence=conf.object_store_timeout)

    def _not_running(self) -> Finding | None:
        """Return what it means for a server that does not answer if it is not seen to run."""
        state = self._process_state()
        if state is ServiceStatus.UNKNOWN:
            return Finding(state, "It cannot be told whether the database runs.")
        return Finding(state) if state is ServiceStatus.SHUTDOWN else None

    def _process_state(self) -> ServiceStatus:
        try:
            running = self.ctx.services.is_running(self.services)
        except GuestError:
            LOG.exception("the supervisor does not tell whether the server runs")
            return ServiceStatus.UNKNOWN
        return ServiceStatus.RUNNING if running else ServiceStatus.SHUTDOWN

    def _cause(self) -> str:
        try:
            return self._find_cause(self._own_log()) or self._find_cause(
                self.ctx.services.recent_log(self.services))
        except GuestError as err:
            LOG.warning("the server's log cannot be read: %s", err.message)
            return ""
