"""The API: one worker, a MariaDB store, with 0 to 5000 instances."""

from __future__ import annotations

import json
from collections.abc import Callable

import requests

from tests.benchmarks import load
from tests.benchmarks.output import emit
from tests.benchmarks.stage import Stage

_COUNTS = (0, 100, 1000, 5000)
_SAMPLE = 20


def measure(stage: Stage) -> None:
    """Measure lists, single reads and creates."""
    # nothing else shall use the store: creates stay pending
    for name in ("trove-taskmanager", "trove-conductor"):
        stage.supervisor.stop(name)
    stage.count_cloud_calls()
    for count in _COUNTS:
        ids = stage.fill(count)
        _one(stage, "GET instances", count, "GET", "/instances")
        _one(stage, "GET instances/detail", count, "GET", "/instances/detail")
        if ids:
            _one(stage, "GET instance", count, "GET", f"/instances/{ids[len(ids) // 2]}")
        _one(stage, "GET datastores", count, "GET", "/datastores")
    _one(stage, "POST instances", _COUNTS[-1], "POST", "/instances", json.dumps({"instance": {
        "name": "new-{n}", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb"}, "databases": [{"name": "d"}],
        "users": [{"name": "u", "password": "p", "databases": [{"name": "d"}]}]}}
    ))


def _one(stage: Stage, name: str, instances: int, method: str, path: str,
         body: str | None = None) -> None:
    def call() -> None:
        text = body and body.replace("{n}", "0")
        answer = requests.request(method, stage.url + path, headers=stage.headers, data=text,
                                  timeout=60)
        answer.raise_for_status()

    statements, calls = _per_request(stage, call)
    result = load.run(load.Request(method, stage.url + path, stage.headers, body))
    emit(name, instances=instances, per_second=round(result.per_second, 1),
         p50_ms=round(result.p50_ms, 2), p99_ms=round(result.p99_ms, 2),
         requests=result.requests, sql_statements=statements, cloud_calls=calls)


def _per_request(stage: Stage, call: Callable[[], None]) -> tuple[float, float]:
    """Return SQL statements and cloud calls of one request, once caches are warm."""
    call()
    statements, calls = stage.store.statements(), stage.cloud_calls()
    for _ in range(_SAMPLE):
        call()
    return ((stage.store.statements() - statements) / _SAMPLE,
            (stage.cloud_calls() - calls) / _SAMPLE)
