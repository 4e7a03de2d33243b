from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from oslo_config import cfg
from prometheus_client import CollectorRegistry

from tests.scrape import Scrape
from tests.servers.mariadb import free_port
from trove_ng.cmd import metrics
from trove_ng.cmd.collectors import BuildCollector, WorkersCollector
from trove_ng.common import metrics as m
from trove_ng.conf import metrics as metrics_conf
from trove_ng.db.trouble import StoreAway


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    """Metrics on, on free ports."""
    made = cfg.ConfigOpts()
    metrics_conf.register(made)
    made([], project="trove")
    for name, value in {"enabled": True, "api_port": free_port(),
                        "conductor_port": free_port()}.items():
        made.set_override(name, value, group="metrics")
    return made


class Store:
    """A store that answers or not."""

    def __init__(self) -> None:
        self.away = False
        self.hold: Callable[[], None] = lambda: None

    def ping(self) -> None:
        self.hold()
        if self.away:
            raise StoreAway


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_process_is_scraped(conf: cfg.ConfigOpts) -> None:
    measured = metrics.Metrics(conf, m.CONDUCTOR)
    store: Any = Store()
    measured.serve(store)
    measured.recorder.heartbeat_received()
    port = conf.metrics.conductor_port
    status, text = get(port, "/metrics")
    assert status == 200
    found = Scrape(text)
    assert found.get(m.BEATS_RECEIVED.name) == 1
    assert found.sum(m.BUILD.name, service=m.CONDUCTOR) == 1
    resident = found.get("process_resident_memory_bytes")
    assert resident is not None
    assert resident > 1e6
    assert "_created" not in text
    assert get(port, "/healthz") == (200, "OK\n")
    store.away = True
    assert get(port, "/healthz")[0] == 503
    assert get(port, "/metrics")[0] == 200
    assert get(port, "/else")[0] == 404


def test_a_client_that_says_nothing_holds_up_nobody(conf: cfg.ConfigOpts) -> None:
    metrics.Metrics(conf, m.CONDUCTOR).serve(Store())  # type: ignore[arg-type]
    port = conf.metrics.conductor_port
    with socket.create_connection(("127.0.0.1", port)):
        assert get(port, "/healthz")[0] == 200


def test_a_store_that_hangs_holds_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_HEALTH_WAIT", 0.01)
    asked, answer = threading.Event(), threading.Event()
    store: Any = Store()

    def hold() -> None:
        asked.set()
        assert answer.wait(10)

    store.hold = hold
    healthy = metrics.Health(store)
    told: list[bool] = []
    first = threading.Thread(target=lambda: told.append(healthy()))
    first.start()
    assert asked.wait(10)
    assert healthy() is False
    answer.set()
    first.join(10)
    assert told == [True]


@pytest.mark.parametrize("kind", [metrics.Metrics, metrics.WorkersMetrics])
def test_a_port_that_is_taken_is_refused_by_its_name(conf: cfg.ConfigOpts, kind: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        conf.set_override("api_port", port, group="metrics")
        with pytest.raises(OSError, match=rf"\[metrics\] 127\.0\.0\.1 port {port}: Address"):
            kind(conf, m.API)


def test_what_is_off_costs_nothing_and_loads_nothing() -> None:
    program = """
import sys
from oslo_config import cfg
from trove_ng.cmd import api, conductor, metrics, taskmanager
from trove_ng.common import metrics as m
from trove_ng.conf import metrics as metrics_conf
conf = cfg.ConfigOpts()
metrics_conf.register(conf)
conf([], project="trove")
one, many = metrics.Metrics(conf, m.CONDUCTOR), metrics.WorkersMetrics(conf, m.API)
one.serve(None, None)
many.serve(None)
many.end()
assert one.recorder is m.SILENT and many.recorder() is m.SILENT
assert "prometheus_client" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_workers_need_the_library_to_come_after_their_directory(
        conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    measured = metrics.WorkersMetrics(conf, m.API)
    directory = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    assert os.stat(directory).st_mode & 0o777 == 0o700
    try:
        # it is loaded here, and keeps its numbers in memory
        with pytest.raises(RuntimeError, match="imported before"):
            measured.recorder()
    finally:
        measured.end()
        monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    assert not os.path.exists(directory)


def test_the_build_is_told() -> None:
    registry = CollectorRegistry()
    registry.register(BuildCollector(m.API, "1.2"))
    assert Scrape.of(registry).get(m.BUILD.name, service=m.API, version="1.2") == 1


BURN = """
import sys, time
while time.process_time() < 0.5:
    pass
print("burnt", flush=True)
sys.stdin.read()
"""


def test_the_time_of_a_worker_that_ended_is_not_forgotten() -> None:
    registry = CollectorRegistry()
    registry.register(WorkersCollector(os.getpid()))
    alone = Scrape.of(registry)
    worker = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"burnt\n"
    both = Scrape.of(registry)
    worker.communicate()
    after = Scrape.of(registry)

    def value(scrape: Scrape, name: str) -> float:
        found = scrape.get(f"process_{name}")
        assert found is not None
        return found

    assert value(both, "cpu_seconds_total") >= value(alone, "cpu_seconds_total") + 0.45
    assert value(after, "cpu_seconds_total") >= value(both, "cpu_seconds_total")
    assert value(both, "resident_memory_bytes") >= value(after, "resident_memory_bytes") + 1e6
    assert value(both, "start_time_seconds") == value(alone, "start_time_seconds")
    assert value(both, "max_fds") == value(alone, "max_fds")
