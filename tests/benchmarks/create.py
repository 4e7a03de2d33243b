"""From POST to ACTIVE, and a call to a guest, with a cloud that takes no time."""

from __future__ import annotations

import time

import psutil

from tests.benchmarks.output import emit, percentile
from tests.benchmarks.stage import Stage
from trove_ng.common.crypto import SecretBox
from trove_ng.db.repositories import instance_keys
from trove_ng.db.session import Database
from trove_ng.rpc import keys
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.transport import get_transport

#: steps in which the guest works, not the control plane
_GUEST_STEPS = ("agent", "prepare", "database")
_CALLS = 300


def measure(stage: Stage) -> None:
    """Create an instance, look where the time went, call its agent, delete it."""
    for name in ("trove-taskmanager", "trove-conductor"):
        stage.supervisor.start(name)
        stage.supervisor.wait_ready(name, lambda: True, 30)
    begun = time.perf_counter()
    ident = stage.request("POST", "/instances", {
        "instance": {"name": "bench", "flavorRef": "1", "volume": {"size": 1},
                     "datastore": {"type": "mariadb"}}}).json()["instance"]["id"]
    stage.wait(f"/instances/{ident}", "instance", "ACTIVE")
    total = time.perf_counter() - begun
    steps = stage.steps(ident, "instance.create")
    guest = sum(seconds for step, seconds in steps.items() if step in _GUEST_STEPS)
    server = steps.get("server", 0.0)
    emit("create to ACTIVE", seconds=round(total, 2), guest_seconds=round(guest, 2),
         server_seconds=round(server, 2),
         control_plane_seconds=round(total - guest - server, 2),
         steps={step: round(seconds, 3) for step, seconds in steps.items()})
    _calls(stage, ident)
    _memory()
    stage.request("DELETE", f"/instances/{ident}")
    stage.wait(f"/instances/{ident}", "instance", None)


def _calls(stage: Stage, ident: str) -> None:
    conf = stage.conf()
    provider = instance_keys.StoreKeys(
        Database(conf), SecretBox(conf.inst_rpc_key_encr_key, instance_keys.PURPOSE),
        conf.taskmanager_rpc_encr_key)
    client = GuestClient(conf, get_transport(conf), provider, keys.API, ident)
    client.rpc_ping()
    times = []
    for _ in range(_CALLS):
        begun = time.perf_counter()
        client.rpc_ping()
        times.append(time.perf_counter() - begun)
    emit("RPC round trip to a guest", calls=_CALLS,
         p50_ms=round(percentile(times, 0.5) * 1000, 2),
         p99_ms=round(percentile(times, 0.99) * 1000, 2))


def _memory() -> None:
    """Tell how much memory the agent holds after its work."""
    agents = []
    for process in psutil.process_iter():
        try:
            if any(part.endswith("/trove-guestagent") for part in process.cmdline()):
                agents.append(process.memory_info().rss / 1e6)
        except psutil.Error:
            continue  # it ended meanwhile
    emit("memory of an agent", rss_mb=round(max(agents), 1), processes=len(agents))
