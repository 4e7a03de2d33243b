"""The published part of an instance's logs, in the object store of its project."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trove_ng.common.errors import Conflict, GuestTimeout
from trove_ng.conf.object_store import guest_url
from trove_ng.datastores.guest_logs import METAFILE_LIMIT, Log, Place, parse
from trove_ng.db.repositories import duties
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.operations.storage import guest_grant
from trove_ng.rpc import log_messages as m

if TYPE_CHECKING:
    from trove_ng.api.services import Services
    from trove_ng.rpc.guest import GuestClient

LOG = logging.getLogger(__name__)

#: seconds beyond those of the agent in which one request may change what is published
_MARGIN = 120.0
#: seconds that an agent's leave to write outlasts the request
_GRANT_MARGIN = 300


class PublishedLogs:
    """What is published of one instance's logs.

    Every method may raise :class:`trove_ng.cloud.errors.CloudError`.

    :param tenant_id: project that owns the instance
    :param manager: the datastore's manager
    :param region: of the instance; None: the configured one
    """

    def __init__(self, services: Services, tenant_id: str, instance_id: str, manager: str,
                 region: str | None, request_id: str) -> None:
        self._services = services
        self._store = services.objects(region)
        self._region = region
        self._tenant_id = tenant_id
        self._instance_id = instance_id
        self._manager = manager
        self._owner = f"{request_id} {uuid.uuid4().hex}"
        self.container: str = services.conf.guest_log_container_name

    def place(self, log: Log) -> Place:
        """Return where a log is published."""
        return Place(self._instance_id, self._manager, log.name)

    def marks(self, logs: Sequence[Log]) -> dict[str, m.LogMark]:
        """Return by name how far those logs are published that are."""
        found = {}
        for log in logs:
            content = self._store.read_object(
                self._tenant_id, self.container, self.place(log).metafile, METAFILE_LIMIT)
            mark = parse(content, log.name) if content is not None else None
            if mark is not None:
                found[log.name] = mark
        return found

    def change(self, log: Log, guest: GuestClient, *, publish: bool, discard: bool,
               ) -> m.LogMark | None:
        """Delete what is published, publish what is not, or one after the other.

        :return: how far the log is published then, None if it is not
        :raises Conflict: another request does so
        """
        with self._alone(log):
            mark = self.marks([log]).get(log.name)
            if discard:
                self._discard(log)
                mark = None
            return self._publish(log, guest, mark) if publish else mark

    def _discard(self, log: Log) -> None:
        place = self.place(log)
        # first: parts without a metafile are deleted before the next ones are stored
        self._store.delete_object(self._tenant_id, self.container, place.metafile)
        self._store.delete_prefix(self._tenant_id, self.container, place.folder)

    def _publish(self, log: Log, guest: GuestClient, mark: m.LogMark | None,
                 ) -> m.LogMark | None:
        self._store.ensure_container(self._tenant_id, self.container)
        for _ in range(2):
            if mark is None:
                self._discard(log)
            done = guest.publish_log(self._request(log, mark))
            if not done.rotated:
                return done.mark
            mark = None
        raise Conflict(f"The log {log.name} was rotated while it was published.")

    def _seconds(self) -> float:
        conf = self._services.conf
        return float(min(conf.guest_log_publish_time, conf.guest_call_timeout / 2))

    def _request(self, log: Log, mark: m.LogMark | None) -> m.LogPublishRequest:
        conf, place = self._services.conf, self.place(log)
        grant = self._store.grant(
            self._tenant_id, self.container, place.stem, write=True,
            lifetime_s=int(self._seconds()) + _GRANT_MARGIN)
        return m.LogPublishRequest(
            name=log.name, kind=log.kind,
            grant=guest_grant(grant, guest_url(conf, self._region)), folder=place.folder,
            metafile=place.metafile, mark=mark, chunk_size=conf.guest_log_limit,
            expire_after=conf.guest_log_expiry, seconds=self._seconds())

    @contextlib.contextmanager
    def _alone(self, log: Log) -> Iterator[None]:
        """Keep other requests from changing what is published of a log.

        :raises Conflict: one does
        """
        name = duties.log_duty(self._instance_id, log.name)
        if not self._take(name):
            raise Conflict(f"The log {log.name} is being published or discarded already.")
        try:
            yield
        except GuestTimeout:
            # the agent may be at it still: others wait until that has ended for sure
            raise
        except BaseException:
            self._leave(name)
            raise
        self._leave(name)

    @retry_on_db_error
    def _take(self, name: str) -> bool:
        with self._services.db.writer() as session:
            return duties.take(session, name, self._owner, self._services.clock.now(),
                               self._seconds() + _MARGIN)

    def _leave(self, name: str) -> None:
        try:
            self._drop(name)
        except StoreAway:
            LOG.warning("%s stays taken until its time is over", name)

    @retry_on_db_error
    def _drop(self, name: str) -> None:
        with self._services.db.writer() as session:
            duties.drop(session, name, self._owner)
