"""What is remembered of a cloud that hangs, or fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from trove_ng.cloud import catalog as module
from trove_ng.cloud.catalog import CachedCatalog
from trove_ng.cloud.errors import CloudUnavailable
from trove_ng.common.errors import ServiceUnavailable


class Compute:
    """Flavors of a service that may hang, and may fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.answers = threading.Event()
        self.answers.set()
        self.begun = threading.Event()

    def list_flavors(self) -> list[str]:
        self.asked += 1
        self.begun.set()
        assert self.answers.wait(30)
        if self.away:
            raise CloudUnavailable("compute hangs.")
        return ["small"]


class Clouds:
    """A cloud that has only these."""

    def __init__(self) -> None:
        self.compute = Compute()


@pytest.fixture
def clouds() -> Clouds:
    return Clouds()


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def catalog(clouds: Any, now: list[float]) -> CachedCatalog:
    return CachedCatalog(lambda: clouds, 60, "RegionOne", lambda: now[0])


def test_one_asks_for_all(clouds: Clouds, catalog: CachedCatalog) -> None:
    clouds.compute.answers.clear()
    with ThreadPoolExecutor(8) as pool:
        wanted = [pool.submit(catalog.list_flavors) for _ in range(8)]
        assert clouds.compute.begun.wait(10)
        clouds.compute.answers.set()
        assert [one.result() for one in wanted] == [["small"]] * 8
    assert clouds.compute.asked == 1


def test_what_is_known_is_taken_while_another_asks(
        clouds: Clouds, catalog: CachedCatalog, now: list[float]) -> None:
    catalog.list_flavors()
    now[0] = 100
    clouds.compute.begun.clear()
    clouds.compute.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        asks = pool.submit(catalog.list_flavors)
        assert clouds.compute.begun.wait(10)
        assert catalog.list_flavors() == ["small"]
        assert not asks.done()
        clouds.compute.answers.set()
        assert asks.result() == ["small"]


def test_who_waits_for_another_does_not_wait_long(
        clouds: Clouds, catalog: CachedCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT", 0.05)
    clouds.compute.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        asks = pool.submit(catalog.list_flavors)
        assert clouds.compute.begun.wait(10)
        with pytest.raises(ServiceUnavailable):
            catalog.list_flavors()
        clouds.compute.answers.set()
        assert asks.result() == ["small"]
    assert catalog.list_flavors() == ["small"]


def test_a_failure_is_remembered_for_a_moment(
        clouds: Clouds, catalog: CachedCatalog, now: list[float]) -> None:
    clouds.compute.away = True
    for _ in range(3):
        with pytest.raises(ServiceUnavailable, match="compute hangs"):
            catalog.list_flavors()
    assert clouds.compute.asked == 1
    now[0] = 6
    clouds.compute.away = False
    assert catalog.list_flavors() == ["small"]
    assert clouds.compute.asked == 2


def test_what_was_known_holds_while_it_fails(
        clouds: Clouds, catalog: CachedCatalog, now: list[float]) -> None:
    catalog.list_flavors()
    clouds.compute.away = True
    now[0] = 100
    assert catalog.list_flavors() == catalog.list_flavors() == ["small"]
    assert clouds.compute.asked == 2
