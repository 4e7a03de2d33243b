"""The archives of logs as periodic work of a taskmanager."""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from trove_ng.cloud.errors import CloudError
from trove_ng.db.repositories import log_archives
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.domain.instance_status import Task
from trove_ng.operations.duty import Duty
from trove_ng.operations.log_archives import Cleaning, Shipping
from trove_ng.operations.work import Tools

LOG = logging.getLogger(__name__)

#: what one taskmanager does at a time; the agents need no such turns
DUTY = "log_retention"
#: seconds beyond those of an agent's call after which another taskmanager may ask it
_MARGIN = 30.0
#: what is done with instances whose agents are not asked
_BUSY = (Task.BUILDING, Task.DELETING)


class Archiving:
    """Has the agents store what their databases wrote; each taskmanager asks some of them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._shipping = Shipping(tools)

    def run(self) -> None:
        """Ask all agents that are due."""
        workers = self._tools.conf.log_archive_workers
        with ThreadPoolExecutor(workers, "log archive") as pool:
            while True:
                now = self._tools.clock.now()
                found = self._claim(now, workers)
                if not found:
                    return
                list(pool.map(functools.partial(self._each, now), found))

    @property
    def _pause(self) -> float:
        """Seconds after which an agent that has not answered is asked again."""
        conf = self._tools.conf
        return float(max(conf.log_archive_interval, conf.guest_call_timeout + _MARGIN))

    @retry_on_db_error
    def _claim(self, now: datetime.datetime, most: int) -> list[str]:
        heard = now - datetime.timedelta(seconds=self._tools.conf.agent_heartbeat_expiry)
        with self._tools.db.writer() as session:
            return log_archives.claim(session, now, self._pause, most, _BUSY, heard)

    def _each(self, now: datetime.datetime, instance_id: str) -> None:
        def work(ident: str) -> None:
            if self._shipping.ship(ident):
                self._hasten(ident, now)

        guarded(instance_id, work)

    @retry_on_db_error
    def _hasten(self, instance_id: str, now: datetime.datetime) -> None:
        interval = self._tools.conf.log_archive_interval
        if interval < self._pause:
            with self._tools.db.writer() as session:
                log_archives.hasten(session, instance_id,
                                    now + datetime.timedelta(seconds=self._pause),
                                    now + datetime.timedelta(seconds=interval))


class LogRetention:
    """Removes what no restore needs.

    :param duty: what this taskmanager has taken
    """

    def __init__(self, tools: Tools, duty: Duty) -> None:
        self._tools = tools
        self._cleaning = Cleaning(tools)
        self._duty = duty

    def run(self) -> None:
        """Remove once, as long as nobody else has the duty."""
        with self._tools.db.reader() as session:
            found = log_archives.all_ids(session)
        for instance_id in found:
            if not self._duty.hold():
                return
            guarded(instance_id, self._cleaning.clean)


def guarded(instance_id: str, work: Callable[[str], None]) -> None:
    """Do the work; what cannot be done for one instance does not stop the others."""
    try:
        work(instance_id)
    except StoreAway:
        raise
    except CloudError as err:
        LOG.warning("the archived log of instance %s: %s", instance_id, err.message)
    except Exception:
        LOG.exception("the archived log of instance %s could not be worked on", instance_id)
