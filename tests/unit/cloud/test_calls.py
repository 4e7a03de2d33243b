from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from tests.scrape import Scrape
from trove_ng.cloud import calls
from trove_ng.cloud.errors import CloudError, CloudUnavailable
from trove_ng.common import metrics as m
from trove_ng.common.prometheus import PrometheusRecorder


class HttpError(Exception):
    """What a client raises."""

    def __init__(self, status: int, message: str = "no") -> None:
        super().__init__(message)
        self.http_status = status


class Servers:
    """A client's manager that answers as it is told."""

    def __init__(self, *answers: Exception | str) -> None:
        self._answers = list(answers)

    def get(self, _server_id: str) -> str:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Cloud:
    """Calls whose numbers can be read."""

    def __init__(self, service: str = "compute") -> None:
        self.registry = CollectorRegistry()
        self.calls = calls.Calls(
            service, 3, recorder=PrometheusRecorder(self.registry, m.TASKMANAGER))

    def counted(self) -> dict[tuple[str, str, str], float]:
        """Return counts by service, operation and outcome."""
        return {tuple(dict(labels)[one] for one in ("service", "operation", "outcome")): value  # type: ignore[misc]
                for (_, labels), value in Scrape.of(self.registry).counts().items()}


@pytest.mark.parametrize(("answer", "outcome"), [
    (HttpError(404), "not_found"), (HttpError(409), "conflict"),
    (HttpError(403, "Quota exceeded"), "over_quota"), (HttpError(503), "unavailable"),
    (HttpError(400), "rejected"), (RuntimeError("odd"), "rejected"), ("found", "ok")])
def test_a_call_is_counted_by_what_came_of_it(
        answer: Exception | str, outcome: str) -> None:
    cloud = Cloud()
    servers = Servers(answer)
    if answer == "found":
        assert cloud.calls.once(servers.get, "id") == "found"
    else:
        with pytest.raises(CloudError):
            cloud.calls.once(servers.get, "id")
    assert cloud.counted() == {("compute", "Servers.get", outcome): 1}


def test_each_try_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    cloud = Cloud()
    servers = Servers(HttpError(503), HttpError(503), "found")
    assert cloud.calls.again(servers.get, "id") == "found"
    assert cloud.counted() == {("compute", "Servers.get", "unavailable"): 2,
                               ("compute", "Servers.get", "ok"): 1}


def test_what_is_not_there_is_no_error_and_counted() -> None:
    cloud = Cloud()
    assert cloud.calls.found(Servers(HttpError(404)).get, "id") is None
    assert cloud.counted() == {("compute", "Servers.get", "not_found"): 1}


def test_a_process_that_is_ended_in_a_call_counts_it() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    cloud = Cloud("object store")
    with pytest.raises(KeyboardInterrupt):
        cloud.calls.once(interrupted)
    assert [(service, outcome) for service, _, outcome in cloud.counted()] == [
        ("object_store", "failed")]


class Images:
    """One of our own modules, which gives a function of its own."""

    def find(self) -> Callable[[], str]:
        return lambda: "image"


@pytest.mark.parametrize(("call", "name"), [
    (Servers("x").get, "Servers.get"), (Images().find(), "Images.find"),
    (len, "len"), (functools.partial(len), "partial")])
def test_names_are_those_of_the_code(call: Callable[..., object], name: str) -> None:
    assert calls.operation_of(call) == name


def test_calls_without_a_recorder_are_made() -> None:
    with pytest.raises(CloudUnavailable):
        calls.Calls("compute", 1).again(Servers(HttpError(500)).get, "id")


@pytest.mark.parametrize(("deleted", "shown", "left"), [
    ("", (), False), (HttpError(404), (HttpError(404),), False), (HttpError(404), ("s",), True)])
def test_what_is_said_to_be_gone_is_looked_for(
        deleted: Exception | str, shown: tuple[Exception | str, ...], left: bool) -> None:
    one, other = Servers(deleted), Servers(*shown)
    if left:
        with pytest.raises(CloudUnavailable, match="has what it says is gone: 7"):
            Cloud().calls.gone(one.get, other.get, "7")
    else:
        Cloud().calls.gone(one.get, other.get, "7")
    assert not one._answers and not other._answers
