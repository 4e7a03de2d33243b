"""A load of plain HTTP requests from another process, over kept-alive connections."""

from __future__ import annotations

import concurrent.futures
import http.client
import itertools
import multiprocessing
import time
import urllib.parse
from dataclasses import dataclass

from tests.benchmarks.output import percentile


@dataclass(frozen=True)
class Request:
    """What is sent each time; ``{n}`` in the body becomes a running number."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None = None
    expect: int = 200


@dataclass(frozen=True)
class Result:
    """What a load measured; times in milliseconds."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def _connection(request: Request, deadline: float,
                numbers: itertools.count[int]) -> list[float]:
    parts = urllib.parse.urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    times = []
    while time.perf_counter() < deadline:
        body = request.body and request.body.replace("{n}", str(next(numbers)))
        begun = time.perf_counter()
        connection.request(request.method, target, body=body, headers=request.headers)
        answer = connection.getresponse()
        content = answer.read()
        times.append(time.perf_counter() - begun)
        if answer.status != request.expect:
            raise RuntimeError(f"{request.method} {target}: {answer.status} {content[:300]!r}")
    connection.close()
    return times


def _load(request: Request, seconds: float, connections: int) -> Result:
    numbers = itertools.count()
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        jobs = [pool.submit(_connection, request, begun + seconds, numbers)
                for _ in range(connections)]
        times = [value for job in jobs for value in job.result()]
    took = time.perf_counter() - begun
    return Result(len(times), len(times) / took,
                  percentile(times, 0.5) * 1000, percentile(times, 0.99) * 1000)


def run(request: Request, seconds: float = 5, connections: int = 4) -> Result:
    """Send the request over and over from a process of its own.

    :param seconds: for how long
    :param connections: how many at the same time
    :raises RuntimeError: an answer had another status than expected
    """
    with concurrent.futures.ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_load, request, seconds, connections).result()
