"""The conductor: heartbeats of many guests, to their end in the store."""

from __future__ import annotations

import concurrent.futures
import secrets
import time

import psutil

from tests.benchmarks.output import emit
from tests.benchmarks.stage import Stage
from trove_ng.common.crypto import SecretBox
from trove_ng.common.states import ServiceStatus
from trove_ng.db.repositories import instance_keys
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.messages import FilesystemStats, Heartbeat
from trove_ng.rpc.transport import get_transport

_GUESTS = 1000
_ROUNDS = 15
_SENDERS = 4


class _OneKey:
    """What a guest knows."""

    def __init__(self, key: str) -> None:
        self._key = key

    def secrets(self, instance_id: str | None) -> tuple[str, ...]:
        """Return the guest's key."""
        return (self._key,) if instance_id else ()


def measure(stage: Stage) -> None:
    """Fill the queue while the conductor is down, then time how it empties it."""
    stage.supervisor.stop("trove-taskmanager")
    stage.supervisor.start("trove-conductor")
    conf = stage.conf()
    ids = stage.fill(_GUESTS)[:_GUESTS]
    box = SecretBox(conf.inst_rpc_key_encr_key, instance_keys.PURPOSE)
    known = {one: secrets.token_urlsafe(32) for one in ids}
    stage.give_keys(ids, lambda one: box.seal(known[one], one))
    transport = get_transport(conf)
    clients = [ConductorClient(transport, _OneKey(known[one]), one) for one in ids]
    # the queue exists once the conductor has run
    time.sleep(3)
    stage.supervisor.stop("trove-conductor")
    before = _seen(stage)
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(_SENDERS) as pool:
        for number in range(1, _ROUNDS + 1):
            list(pool.map(lambda client, n=number: client.heartbeat(_beat(n)), clients))
    emit("heartbeats sent", per_second=round(_ROUNDS * _GUESTS / (time.perf_counter() - begun)))
    if _seen(stage) != before:
        raise RuntimeError("heartbeats were written while the conductor was down")
    stage.supervisor.start("trove-conductor")
    first = _until(stage, before + 1)
    process = psutil.Process(stage.supervisor.states()["trove-conductor"][1])
    begun = sum(process.cpu_times()[:2])
    last = _until(stage, before + _GUESTS * _ROUNDS)
    busy = sum(process.cpu_times()[:2]) - begun
    emit("conductor heartbeats", guests=_GUESTS, heartbeats=_GUESTS * _ROUNDS,
         per_second=round(_GUESTS * _ROUNDS / (last - first)),
         cpu_share=round(busy / (last - first), 2))


def _beat(number: int) -> Heartbeat:
    return Heartbeat(status=ServiceStatus.HEALTHY, sequence=number, sent_at=time.time(),
                     agent_version="1.0", volume=FilesystemStats(
                         total=10 ** 9, used=10 ** 8, free=9 * 10 ** 8))


def _seen(stage: Stage) -> int:
    """Return the sum of the newest sequence numbers in the store."""
    return int(stage.store.execute(
        "SELECT COALESCE(SUM(sequence), 0) FROM trove.service_statuses")[0][0])


def _until(stage: Stage, total: int) -> float:
    """Return when the store has seen so much."""
    end = time.perf_counter() + 120
    while time.perf_counter() < end:
        if _seen(stage) >= total:
            return time.perf_counter()
        time.sleep(0.01)
    raise TimeoutError("the conductor did not write all heartbeats")
