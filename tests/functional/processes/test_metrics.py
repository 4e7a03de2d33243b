"""Scrapes of the real programs; the bus is a fake one and the store is SQLite."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.scrape import Scrape
from tests.servers.mariadb import free_port
from trove_ng.common import metrics as m

BIN = Path(sys.executable).parent
WORKERS = 2


class Machine:
    """The three services, with ports of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "trove.conf"
        self.api_port = free_port()
        self.ports = {service: free_port() for service in m.SERVICES}
        self._numbers = directory / "numbers"
        self._numbers.mkdir()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        ports = "\n".join(f"{service.removeprefix('trove-')}_port = {port}"
                          for service, port in self.ports.items())
        self.file.write_text(
            "[DEFAULT]\ntaskmanager_rpc_encr_key = one\ninst_rpc_key_encr_key = two\n"
            f"transport_url = fake://\nbind_host = 127.0.0.1\nbind_port = {self.api_port}\n"
            f"trove_api_workers = {WORKERS}\n"
            f"[database]\nconnection = sqlite:///{directory}/store.db\n"
            f"[metrics]\nenabled = true\nworker_dir = {self._numbers}\n{ports}\n")
        subprocess.run([BIN / "trove-manage", "--config-file", self.file, "db_sync"],
                       check=True, stdout=subprocess.DEVNULL)

    def command(self, service: str) -> list[str]:
        return [str(BIN / service), "--config-file", str(self.file)]

    def need(self, *services: str) -> None:
        """Start services unless they run, and wait until they answer."""
        for service in services:
            if service not in self._running:
                self._start(service)
        for service in services:
            until(lambda service=service: self.healthy(service))
        if m.API in services:
            until(lambda: self.get(self.api_port, "/v1.0/")[0] == 200)

    def _start(self, service: str) -> None:
        with (self.directory / f"{service}.log").open("wb") as log:
            self._running[service] = subprocess.Popen(
                self.command(service), stdout=log, stderr=log)

    def stop(self, service: str) -> int:
        process = self._running.pop(service)
        process.terminate()
        return process.wait(240)

    def stop_all(self) -> None:
        for service in list(self._running):
            self.stop(service)

    def get(self, port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}",
                                        timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def scrape(self, service: str) -> Scrape:
        status, text = self.get(self.ports[service], "/metrics")
        assert status == 200, text
        return Scrape(text)

    def healthy(self, service: str) -> bool:
        return self.get(self.ports[service], "/healthz") == (200, "OK\n")

    def ask(self, times: int) -> None:
        for _ in range(times):
            assert self.get(self.api_port, "/v1.0/")[0] == 200

    def asked(self) -> float:
        return self.scrape(m.API).sum(f"{m.REQUESTS.name}_count", method="GET",
                                      route="public", status="200")

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self._running[m.API].pid).children()

    def directories(self) -> list[Path]:
        return list(self._numbers.iterdir())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """See :class:`Machine`; nothing runs yet."""
    one = Machine(tmp_path_factory.mktemp("processes"))
    try:
        yield one
    finally:
        one.stop_all()


def test_each_service_tells_its_metrics_and_no_others(machine: Machine) -> None:
    machine.need(*m.SERVICES)
    for service in m.SERVICES:
        check(service, machine.scrape(service))
    found = machine.scrape(m.TASKMANAGER)
    assert found.get(m.STORE_UP.name) == 1
    assert found.get(m.INSTANCES.name, status="ACTIVE") == 0


def check(service: str, found: Scrape) -> None:
    assert found.sum(m.BUILD.name, service=service) == 1
    own = {one.name.removesuffix("_total") for one in m.DEFINITIONS
           if service in one.services}
    shown = {name for name in found.families if name.startswith("trove_")}
    assert shown <= own
    # a family with labels from the code shows up with its first sample
    assert shown >= {one.name.removesuffix("_total") for one in m.DEFINITIONS
                     if service in one.services and one.kind is m.Kind.COUNTER
                     and all(one.labels.values())}
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes",
                 "process_open_fds"):
        value = found.get(name)
        assert value is not None
        assert value > 0
    for family in found.families.values():
        assert family.documentation


def test_any_worker_answers_for_all_of_them_and_for_dead_ones(machine: Machine) -> None:
    machine.need(m.API)
    before = machine.asked()
    machine.ask(20)
    for _ in range(10):
        assert machine.asked() == before + 20
    workers = machine.workers()
    assert len(workers) == WORKERS
    workers[0].send_signal(signal.SIGKILL)
    until(lambda: len(machine.workers()) == WORKERS and workers[0] not in machine.workers())
    until(lambda: machine.get(machine.api_port, "/v1.0/")[0] == 200)
    between = machine.asked()
    assert between > before + 20
    machine.ask(20)
    for _ in range(10):
        assert machine.asked() == between + 20


def test_the_memory_of_all_workers_is_told(machine: Machine) -> None:
    machine.need(m.API)
    found = machine.scrape(m.API).get("process_resident_memory_bytes")
    least = sum(one.memory_info().rss for one in machine.workers())
    assert found is not None
    assert found > least * 0.9


def test_nothing_is_left_at_the_end(machine: Machine) -> None:
    machine.need(m.API)
    assert len(machine.directories()) == 1
    assert machine.stop(m.API) == 0
    assert machine.directories() == []


def test_a_service_whose_port_is_taken_does_not_start(machine: Machine) -> None:
    machine.stop_all()
    with contextlib.ExitStack() as stack:
        for port in machine.ports.values():
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        started = {service: subprocess.Popen(
            machine.command(service), stderr=subprocess.PIPE, text=True)
            for service in m.SERVICES}
        said = {service: process.communicate(timeout=240)[1]
                for service, process in started.items()}
    for service, process in started.items():
        assert process.returncode == 1
        assert (f"{service}: [metrics] 127.0.0.1 port {machine.ports[service]}: "
                "Address already in use") in said[service]
    assert machine.directories() == []
