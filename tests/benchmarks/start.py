"""How long the services take to start, and how much memory they hold."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.benchmarks.output import emit
from tests.benchmarks.stage import Stage

_TIMES = 3
_READY = {"trove-taskmanager": "the taskmanager is up", "trove-conductor":
          "the conductor is up"}


def measure(stage: Stage) -> None:
    """Start each service several times; the best is told, and the memory after it."""
    for name in ("trove-api", *_READY):
        stage.supervisor.stop(name)
        best, rss = 1e9, 0.0
        for _ in range(_TIMES):
            seconds, memory = _start(stage, name)
            best, rss = min(best, seconds), max(rss, memory)
        emit("start", service=name, seconds=round(best, 2), rss_mb=round(rss, 1))
        stage.supervisor.start(name)


def _start(stage: Stage, name: str) -> tuple[float, float]:
    """Return seconds until a service is ready and, after a pause, its memory in MB."""
    program = Path(sys.executable).parent / name
    begun = time.perf_counter()
    process = subprocess.Popen(
        [program, "--config-file", stage.layout.trove_conf, "--config-dir",
         stage.layout.trove_conf_dir], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    try:
        if name == "trove-api":
            _wait_http(f"{stage.settings.api_url}/healthcheck")
        else:
            assert process.stdout is not None
            for line in process.stdout:
                if _READY[name] in line:
                    break
        seconds = time.perf_counter() - begun
        if name == "trove-api":
            _use(stage)
        time.sleep(1)
        main = psutil.Process(process.pid)
        # gunicorn's master does not answer requests: each worker counts
        workers = main.children() or [main]
        return seconds, max(one.memory_info().rss for one in workers) / 1e6
    finally:
        process.terminate()
        process.communicate()


def _use(stage: Stage) -> None:
    """Have the worker load what it needs."""
    for path in ("/instances", "/datastores", "/flavors", "/limits", "/backups"):
        request = urllib.request.Request(stage.url + path, headers=stage.headers)
        urllib.request.urlopen(request, timeout=60).read()


def _wait_http(url: str) -> None:
    end = time.perf_counter() + 60
    while time.perf_counter() < end:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(url)
