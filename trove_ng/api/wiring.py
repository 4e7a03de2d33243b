"""Making what the handlers work with, from the configuration."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from oslo_config import cfg

from trove_ng.api import idempotency
from trove_ng.api.authorization import Authorizer
from trove_ng.api.memory import Generation, Memory
from trove_ng.api.middleware.ratelimit import Buckets, limits_of
from trove_ng.api.services import Services
from trove_ng.api.wake import BackgroundWaker
from trove_ng.cloud.catalog import CachedCatalog
from trove_ng.cloud.estate import Estate
from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.conf.cloud import own_region
from trove_ng.db.clock import StoreClock
from trove_ng.db.repositories import instance_keys
from trove_ng.db.session import Database
from trove_ng.operations.notices import Notices
from trove_ng.operations.requests import PURPOSE, Requests
from trove_ng.rpc import keys
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import Lines
from trove_ng.rpc.seats import Seats

T = TypeVar("T")

#: how often a service of the cloud is asked: a connection may have been closed meanwhile
_TRIES = 2


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """Return a function that makes something at its first call, in whichever thread."""
    lock = threading.Lock()
    made: list[T] = []

    def get() -> T:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


class _Bus:
    """The bus, connected at its first use: most requests do not need it."""

    def __init__(self, conf: cfg.ConfigOpts, provider: keys.Keys, recorder: Recorder) -> None:
        self._conf = conf
        self._recorder = recorder
        self._provider = provider
        self._transport = _once(self._connect)
        self._lines = Lines(2 * conf.api.threads + 4)
        # a thread stays for what needs no guest, and a seat for other guests
        seats = max(1, conf.api.threads - 1)
        self._seats = Seats(seats, max(1, seats - 1))
        self._waker = BackgroundWaker(lambda ident: self._client.wake(ident))

    def _connect(self) -> Any:
        from trove_ng.rpc.transport import get_transport

        return get_transport(self._conf)

    @functools.cached_property
    def _client(self) -> Any:
        from trove_ng.rpc.taskmanager import TaskManagerClient

        return TaskManagerClient(self._transport(), self._provider, lines=self._lines)

    def wake(self, operation_id: str) -> None:
        """Tell a taskmanager that work waits, without waiting for the bus."""
        self._waker.wake(operation_id)

    def guest(self, instance_id: str, context: RequestContext) -> GuestClient:
        """Return the client that speaks to one instance's agent."""
        return GuestClient(self._conf, self._transport(), self._provider, keys.API,
                           instance_id, context, self._recorder, self._lines, self._seats)


def make_services(conf: cfg.ConfigOpts, recorder: Recorder = SILENT,
                  datastores: Generation | None = None) -> Services:
    """Return the parts that requests need; nothing is connected yet.

    :param recorder: is told what is measured
    :param datastores: that of the memories of datastores, common to all workers
    """
    database = Database(conf, recorder)
    provider = instance_keys.StoreKeys(
        database, SecretBox(conf.inst_rpc_key_encr_key, instance_keys.PURPOSE),
        conf.taskmanager_rpc_encr_key)
    bus = _Bus(conf, provider, recorder)

    def make_clouds() -> Any:
        from trove_ng.cloud.session import Clients, Clouds, Patience

        # clients wait, and threads are few
        return Clouds(conf, Clients(conf, patience=Patience(conf.api.cloud_timeout, _TRIES)),
                      recorder=recorder)

    clouds = _once(make_clouds)

    def anybody_to_tell() -> bool:
        from trove_ng.rpc.notifier import is_on

        return is_on(conf)

    notices = Notices(_once(anybody_to_tell), _once(lambda: _address(conf)), _host(conf))
    return Services(
        conf=conf, db=database, authorizer=Authorizer(conf),
        catalog=CachedCatalog(clouds, conf.service_credentials.catalog_cache_time,
                              own_region(conf)),
        guests=bus.guest, objects=lambda region: clouds().in_region(region).objects,
        keys=lambda: clouds().keys, estate=Estate(clouds), waker=bus,
        clock=StoreClock(database), buckets=Buckets(limits_of(conf)),
        datastores=Memory(conf.api.datastore_cache_time, datastores),
        requests=Requests(conf, SecretBox(conf.inst_rpc_key_encr_key, PURPOSE), notices),
        notices=notices,
        idempotency_box=SecretBox(conf.inst_rpc_key_encr_key, idempotency.PURPOSE),
        recorder=recorder)


def _host(conf: cfg.ConfigOpts) -> str:
    return conf.host or socket.gethostname()


def _address(conf: cfg.ConfigOpts) -> str:
    """Return where this service is reached, for notifications."""
    from trove_ng.rpc.notifier import own_address

    return f"{own_address()}:{conf.bind_port}"
