"""RabbitMQ misbehaves: requests are accepted, nothing is lost, heartbeats come back."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.servers.mariadb import Server as MariaDB
from tests.servers.rabbitmq_node import Node
from trove_ng.common.clock import utcnow

from .stage import NIGHTLY, OUTAGE, Stage, running

Fault = Callable[[Node], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def stopped(broker: Node) -> Iterator[None]:
    broker.stop()
    yield
    broker.start()


@contextlib.contextmanager
def killed(broker: Node) -> Iterator[None]:
    broker.stop(signal.SIGKILL)
    yield
    broker.start()


@contextlib.contextmanager
def out_of_memory(broker: Node) -> Iterator[None]:
    broker.ctl("set_vm_memory_high_watermark", "0")
    yield
    broker.ctl("set_vm_memory_high_watermark", "0.6")


@pytest.fixture
def used(stage: Stage) -> Iterator[str]:
    """An instance that is ACTIVE; all are deleted afterwards."""
    ident = stage.create()
    stage.wait_active(ident)
    yield ident
    stage.clear()


@pytest.mark.parametrize("fault", [
    stopped, pytest.param(killed, marks=NIGHTLY), out_of_memory])
def test_an_outage_loses_nothing(stage: Stage, broker: Node, used: str, fault: Fault) -> None:
    stage.hypervisor.seconds = 2.0
    under_way = [stage.create(), stage.create()]
    backup = stage.try_backup(used)
    assert backup.status_code == 202
    threads = stage.threads()
    with fault(broker):
        end = time.monotonic() + OUTAGE
        accepted = [stage.create()]
        # a guest is asked, and cannot be
        for _ in range(3):
            refused = stage.request("GET", f"/instances/{used}/databases")
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert "serviceUnavailable" in refused.json()
        while time.monotonic() < end:
            assert stage.request("GET", "/instances").status_code == 200
            time.sleep(0.2)
        accepted.append(stage.create())
        assert stage.threads() <= threads + 16
    healed = utcnow()
    stage.until("heartbeats resume", lambda: stage.heard_since(used, healed), 15)
    stage.wait_active(*under_way, *accepted)
    stage.until("the guest can be asked again", lambda: stage.request(
        "GET", f"/instances/{used}/databases").status_code == 200, 30)
    stage.check()
    shown = stage.request("GET", f"/backups/{backup.json()['backup']['id']}").json()
    assert shown["backup"]["status"] == "COMPLETED"
    # nobody did a step twice
    for ident in (*under_way, *accepted):
        assert stage.hypervisor.agent(ident).done == ["prepare"]
    stage.until("no thread is left over", lambda: stage.threads() <= threads + 2, 30)


def deleted(broker: Node) -> None:
    broker.each_queue("delete_queue")


def disconnected(broker: Node) -> None:
    broker.ctl("close_all_connections", "-p", "trove", "a test")


@pytest.mark.parametrize("fault", [pytest.param(deleted, marks=NIGHTLY), disconnected])
def test_a_blow_in_the_middle_loses_nothing(
        stage: Stage, broker: Node, used: str, fault: Callable[[Node], None]) -> None:
    stage.hypervisor.seconds = 1.0
    under_way = [stage.create(), stage.create()]
    stage.restart(used)
    fault(broker)
    under_way.append(stage.create())
    healed = utcnow()
    stage.until("heartbeats resume", lambda: stage.heard_since(used, healed), 15)
    stage.wait_active(*under_way, used)
    stage.check()
    assert stage.hypervisor.agent(used).done == ["prepare", "restart"]


def test_messages_that_are_lost_in_their_queues_are_not_missed(
        stage: Stage, broker: Node, used: str) -> None:
    """Nobody takes them any more, and the queues are purged: wake-ups, reports, heartbeats."""
    stage.hypervisor.seconds = 1.0
    under_way = [stage.create(), stage.create()]
    stage.until("an agent works", lambda: len(stage.hypervisor.agents) > 1)
    takers = {"trove-taskmanager": "taskmanager", "trove-conductor": "trove-conductor"}
    for name in takers:
        stage.kill_service(name)
    stage.restart(used)
    under_way.append(stage.create())
    for queue in takers.values():
        stage.until(f"messages wait in {queue}", lambda queue=queue: broker.waiting(queue))
    # what agents report of the work that they were asked for is among them
    stage.until("agents have done what they were asked for", lambda: all(
        one.reported or not one.done for one in stage.hypervisor.agents.values()))
    lost = {queue: broker.waiting(queue) for queue in takers.values()}
    for queue in takers.values():
        broker.ctl("purge_queue", "-p", "trove", queue)
    assert all(lost.values()), lost
    # the agents go on beating
    assert broker.waiting(takers["trove-taskmanager"]) == 0
    for name in takers:
        stage.start_service(name)
    healed = utcnow()
    stage.until("heartbeats resume", lambda: stage.heard_since(used, healed), 30)
    stage.wait_active(*under_way, used)
    stage.check()
    assert stage.hypervisor.agent(used).done == ["prepare", "restart"]
    for ident in under_way:
        assert stage.hypervisor.agent(ident).done == ["prepare"]


@NIGHTLY
def test_quorum_queues_serve_and_outlast_a_restart(
        broker: Node, maria: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> None:
    maria.execute("CREATE DATABASE quorum CHARACTER SET utf8mb4")
    maria.execute("GRANT ALL ON quorum.* TO trove@'127.0.0.1'")
    with running(tmp_path_factory.mktemp("quorum"), maria.url.replace("/trove?", "/quorum?"),
                 broker.url("quorum"),
                 "rabbit_quorum_queue = true\nrabbit_transient_quorum_queue = true\n",
                 ) as stage:
        first = stage.create()
        stage.wait_active(first)
        assert "quorum" in broker.ctl(
            "list_queues", "-p", "quorum", "--no-table-headers", "name", "type")
        broker.stop()
        second = stage.create()
        broker.start()
        healed = utcnow()
        stage.until("heartbeats resume", lambda: stage.heard_since(first, healed), 20)
        stage.wait_active(second)
        assert stage.request("GET", f"/instances/{first}/databases").status_code == 200
        stage.check()
