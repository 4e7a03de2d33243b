"""The port where Prometheus scrapes a service.

The API's workers are processes of their own.  They keep their numbers in files of one
directory (the library's multi-process mode) and accept scrapes on one socket that they
inherit: whichever worker gets one answers for all, those that have ended included.

The library is imported only where metrics are on; it reads at its import whether it keeps
numbers in files.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oslo_config import cfg
from oslo_db.exception import DBError

from trove_ng.common import metrics as m
from trove_ng.conf import base
from trove_ng.db.trouble import StoreAway

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from trove_ng.db.session import Database

LOG = logging.getLogger(__name__)

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
#: seconds that a question about the store's health waits for an earlier one
_HEALTH_WAIT = 5.0


class Metrics:
    """What a process with one set of numbers tells Prometheus.

    :param conf: with the options of conf.metrics; when they turn metrics off, nothing is
        kept and nothing listens
    :param service: one of :data:`trove_ng.common.metrics.SERVICES`
    :raises OSError: the port cannot be had
    """

    def __init__(self, conf: cfg.ConfigOpts, service: str) -> None:
        self.recorder: m.Recorder = m.SILENT
        self._service = service
        self._listening: socket.socket | None = None
        self._registry: CollectorRegistry | None = None
        if conf.metrics.enabled:
            self._listening = listen(conf, service)
            self._make()

    def _make(self) -> None:
        from prometheus_client import (
            CollectorRegistry,
            ProcessCollector,
            disable_created_metrics,
        )

        from trove_ng.common.prometheus import PrometheusRecorder

        # as it is in the API: half of all lines, and of little use
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.recorder = PrometheusRecorder(self._registry, self._service)
        ProcessCollector(registry=self._registry)

    def serve(self, db: Database, collectors: Callable[[], Iterable[Any]] = tuple) -> None:
        """Answer scrapes from now on, in threads.

        :param db: the store, for the question of health
        :param collectors: makes what counts at a scrape; called where metrics are on
        """
        if self._registry is None or self._listening is None:
            return
        for one in collectors():
            self._registry.register(one)
        _serve(self._listening, self._registry, self._service, db)


class WorkersMetrics:
    """What a process with workers tells Prometheus for all of them.

    Made before the workers, and before anything imports prometheus_client.

    :param conf: as for :class:`Metrics`
    :raises OSError: the port or the directory cannot be had
    """

    def __init__(self, conf: cfg.ConfigOpts, service: str) -> None:
        self._service = service
        self._listening: socket.socket | None = None
        self._directory: str | None = None
        self._parent = os.getpid()
        if conf.metrics.enabled:
            self._listening = listen(conf, service)
            self._directory = tempfile.mkdtemp(
                prefix=f"{service}-metrics-", dir=conf.metrics.worker_dir)
            os.environ[_DIRECTORY] = self._directory

    def recorder(self) -> m.Recorder:
        """Return a worker's recorder; called in the worker."""
        if self._directory is None:
            return m.SILENT
        from prometheus_client import CollectorRegistry, values

        from trove_ng.common.prometheus import PrometheusRecorder

        if not values.ValueClass._multiprocess:
            raise RuntimeError("prometheus_client was imported before its directory was set")
        return PrometheusRecorder(CollectorRegistry(), self._service)

    def serve(self, db: Database) -> None:
        """Answer scrapes for all workers from now on, in threads; called in a worker."""
        if self._directory is None or self._listening is None:
            return
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        from trove_ng.cmd.collectors import WorkersCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]
        registry.register(WorkersCollector(self._parent))
        _serve(self._listening, registry, self._service, db)

    def end(self) -> None:
        """Forget all numbers; called once, when the workers have ended."""
        if self._listening is not None:
            self._listening.close()
        if self._directory is not None:
            shutil.rmtree(self._directory)


def listen(conf: cfg.ConfigOpts, service: str) -> socket.socket:
    """Return the socket on which a service is scraped.

    :raises OSError: its address cannot be had; the message names it
    """
    host = conf.metrics.bind_host
    port = conf.metrics[f"{service.removeprefix('trove-')}_port"]
    try:
        made = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as err:
        raise OSError(f"[metrics] {host} port {port}: {err.strerror or err}") from err
    # of several workers that see a connection come, one gets it: the others do not wait
    made.setblocking(False)
    return made


class Health:
    """Whether the store answers."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        """Ask the store; a store that hangs holds one thread, not one for each question."""
        if not self._lock.acquire(timeout=_HEALTH_WAIT):
            return False
        try:
            self._db.ping()
            return True
        except (DBError, StoreAway) as err:
            LOG.warning("the store does not answer: %s", type(err).__name__)
            return False
        finally:
            self._lock.release()


def make_app(registry: CollectorRegistry, healthy: Callable[[], bool]) -> WSGIApplication:
    """Return the application with ``/metrics`` and ``/healthz``."""
    from prometheus_client import make_wsgi_app

    scrape = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer: Iterable[bytes] = scrape(environ, start_response)
            return answer
        status, body = "404 Not Found", b"There are /metrics and /healthz.\n"
        if path == "/healthz":
            status, body = ("200 OK", b"OK\n") if healthy() else (
                "503 Service Unavailable", b"The store does not answer.\n")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"),
                                ("Content-Length", str(len(body)))])
        return [body]

    return app


def _serve(listening: socket.socket, registry: CollectorRegistry, service: str,
           db: Database) -> None:
    from trove_ng.cmd.collectors import BuildCollector
    from trove_ng.cmd.scraping import serve

    registry.register(BuildCollector(service, base.version()))
    serve(listening, make_app(registry, Health(db)))
