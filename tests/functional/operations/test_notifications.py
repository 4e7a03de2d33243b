"""Whatever becomes of an operation, one start and one end of it are told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from oslo_config import cfg
from sqlalchemy import select

from tests.functional.operations.conftest import RESOURCE, Bench
from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.notifications import BASE
from trove_ng.db.models import Notification, Operation
from trove_ng.operations import payloads
from trove_ng.operations.engine import Engine, Observer, nobody
from trove_ng.operations.lease import Abandoned, Lease
from trove_ng.operations.notices import Notices
from trove_ng.operations.requests import PURPOSE, Requests
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import StepFailed, Work

Maker = Callable[..., Step]
ACTION = payloads.INSTANCE_RESTART
SECRET = "s3cret-Passw0rd"


@pytest.fixture
def heard(bench: Bench, store_conf: cfg.ConfigOpts) -> Bench:
    """The bench, with somebody to tell."""
    bench.requests = Requests(store_conf, SecretBox(["a-secret-for-tests"], PURPOSE),
                              Notices(lambda: True, lambda: "192.0.2.1:8779", "host"))
    return bench


def submit(bench: Bench, *, action: str = ACTION, supersede: bool = False,
           client: str = "192.0.2.9:1234") -> str:
    context = RequestContext("admins", user_id="u", request_id="req-1", client=client)
    with bench.db.writer() as session:
        return bench.requests.submit(
            session, action=action, resource_type="instance", resource_id=RESOURCE,
            tenant_id="tenant", context=context, payload=payloads.RestartInstance(),
            now=bench.clock.now(), supersede=supersede).id


def claimed(bench: Bench, ident: str, owner: str = "one", lease: float = 30) -> Lease:
    found = bench.claim(ident, owner, lease)
    assert found is not None
    return found


def run(bench: Bench, lease: Lease, *steps: Step, observe: Observer = nobody,
        cancellable: bool = False) -> None:
    book = Runbook(ACTION, steps, lambda _work, _session: None,
                   lambda _work, _session, _why: None, cancellable)
    Engine(bench.tools, {ACTION: book}, observe).run(lease)


def told(bench: Bench) -> list[Notification]:
    with bench.db.reader() as session:
        found = list(session.scalars(select(Notification).order_by(
            Notification.id)))
        session.expunge_all()
    return found


def check(bench: Bench, phase: str) -> Notification:
    """Check that a start and one end are told; return the end."""
    start, end = told(bench)
    assert (start.event_type, end.event_type) == (
        "dbaas.instance_restart.start", f"dbaas.instance_restart.{phase}")
    assert start.payload["instance_id"] == RESOURCE
    for name in ("tenant_id", "client_ip", "request_id"):
        assert start.payload[name] == end.payload[name]
    assert (end.payload["tenant_id"], end.payload["client_ip"]) == (
        "tenant", "192.0.2.9:1234")
    assert (start.payload["server_type"], end.payload["server_type"]) == ("api", "task")
    assert start.context == end.context == {
        "request_id": "req-1", "project_id": "tenant", "user_id": "u"}
    assert end.priority == ("ERROR" if phase == "error" else "INFO")
    more = {"message", "exception"} if phase == "error" else set()
    assert set(end.payload) == {*BASE, *more}
    return end


def fail(_work: Work) -> None:
    raise StepFailed("It broke.")


def test_success(heard: Bench, step: Maker) -> None:
    run(heard, claimed(heard, submit(heard)), step("one"))
    check(heard, "end")


def test_failure(heard: Bench, step: Maker) -> None:
    run(heard, claimed(heard, submit(heard)), step("one"), step("two", fail))
    end = check(heard, "error")
    assert end.payload["message"] == "It broke."
    assert "at step two" in end.payload["exception"]


def test_an_unexpected_failure_has_its_trace_and_not_its_text(
        heard: Bench, step: Maker) -> None:
    def burst(_work: Work) -> None:
        raise RuntimeError(SECRET)

    run(heard, claimed(heard, submit(heard)), step("one", burst))
    end = check(heard, "error")
    assert "in burst" in end.payload["exception"]
    assert "RuntimeError" in end.payload["exception"]
    assert SECRET not in json.dumps(end.payload)


def test_cancelled(heard: Bench, step: Maker) -> None:
    run(heard, claimed(heard, submit(heard)),
        step("one", lambda work: heard.cancel(work.id)), step("two"), cancellable=True)
    assert check(heard, "error").payload["message"] == "The operation was cancelled."


def test_superseded(heard: Bench, step: Maker) -> None:
    lease = claimed(heard, submit(heard))
    submit(heard, action=payloads.INSTANCE_FORCE_DELETE, supersede=True)
    with pytest.raises(Abandoned):
        run(heard, lease, step("one"))
    assert [one.event_type for one in told(heard)] == [
        "dbaas.instance_restart.start", "dbaas.instance_restart.error",
        "dbaas.instance_delete.start"]


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("point", ["before one", "done one", "written one", "end", "ended"])
def test_a_worker_that_dies_changes_nothing(
        heard: Bench, step: Maker, point: str, failing: bool) -> None:
    ident = submit(heard)
    steps = (step("one"), step("two", fail if failing else None))

    def die(work: Work, where: str) -> None:
        if where == point:
            raise Abandoned(work.id)

    with pytest.raises(Abandoned):
        run(heard, claimed(heard, ident, lease=0), *steps, observe=die)
    second = heard.claim(ident, "two")
    assert (second is None) == (point == "ended")
    if second is not None:
        run(heard, second, *steps)
    check(heard, "error" if failing else "end")


def test_two_workers_of_which_one_has_lost_its_lease(heard: Bench, step: Maker) -> None:
    ident = submit(heard)
    first = claimed(heard, ident, lease=0)
    second = claimed(heard, ident, "two")
    run(heard, second, step("one"))
    with pytest.raises(Abandoned):
        run(heard, first, step("one"))
    check(heard, "end")


def test_an_action_that_no_runbook_does(heard: Bench) -> None:
    lease = claimed(heard, submit(heard))
    Engine(heard.tools, {}).run(lease)
    check(heard, "error")


@pytest.mark.parametrize("client", ["", "192.0.2.9:1234"])
def test_what_nobody_asked_for_or_nobody_hears_is_not_told(
        bench: Bench, heard: Bench, store_conf: cfg.ConfigOpts, step: Maker,
        client: str) -> None:
    if client:
        heard.requests = Requests(store_conf, SecretBox(["a-secret-for-tests"], PURPOSE))
    run(heard, claimed(heard, submit(heard, client=client)), step("one"))
    assert told(heard) == []


@pytest.mark.parametrize(("values", "event", "says"), [
    ({"configuration_id": "c"}, "instance_attach_configuration", {"configuration_id": "c"}),
    ({"configuration_id": None}, "instance_detach_configuration", {})])
def test_a_configuration_is_attached_or_detached(
        bench: Bench, values: dict[str, str | None], event: str,
        says: dict[str, str]) -> None:
    notices = Notices(lambda: True)
    context = RequestContext("tenant", client="192.0.2.9:1234")
    row = Operation(id="o", action="instance.configure", resource_type="instance",
                    resource_id=RESOURCE, tenant_id="tenant", request_id="", payload=values)
    with bench.db.writer() as session:
        notices.begin_operation(session, row, context, dict, bench.clock.now())
    start, = told(bench)
    assert start.event_type == f"dbaas.{event}.start"
    assert {name: value for name, value in start.payload.items() if name not in BASE} == {
        "instance_id": RESOURCE, **says}
