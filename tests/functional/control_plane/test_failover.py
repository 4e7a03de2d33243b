"""Sources that are lost, and whose owners want another one by itself."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Sequence as Sequence_
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.test_replicas import (
    ask,
    eject,
    ids,
    let_in,
    promote,
)
from tests.functional.control_plane.test_replicas import pair as pair  # noqa: PLC0414  fixture
from tests.functional.control_plane.world import LivingAgent, lose, wait_for
from tests.scrape import Scrape
from trove_ng.cloud.errors import CloudError
from trove_ng.common import metrics as m
from trove_ng.common.errors import Conflict, ServiceUnavailable, TroveError
from trove_ng.common.metrics import TASKMANAGER
from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import (
    Failover,
    Instance,
    Notification,
    Operation,
    ServiceStatusRow,
)
from trove_ng.db.repositories import instances, operations
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.steps import Progress, StepEngine, StepStore
from trove_ng.operations import access, failover, fencing, payloads
from trove_ng.operations.failover import Failovers
from trove_ng.operations.notices import Notices
from trove_ng.operations.requests import Requests
from trove_ng.operations.work import Work
from trove_ng.rpc import messages as m_
from trove_ng.rpc import replication_messages as rm

HEARS = {"lag": 0, "position": "0-1-7", "connected": True, "applies": True, "last_lag": 0,
         "progress": 7}
ALONE = {**HEARS, "lag": None, "connected": False, "unheard": 1}
WANTED = {"mode": "automatic", "timeout_seconds": 3, "min_interval_seconds": 600, "max_lag": 5}


def make(plane: ControlPlane) -> Failovers:
    tools = plane.tools
    return Failovers(
        plane.conf, plane.db, plane.clock, Requests(
            plane.conf, tools.operation_box, Notices(lambda: True, of_its_own=True)),
        plane.manager.take, tools.recorder)


def ejections(plane: ControlPlane) -> list[Operation]:
    with plane.db.reader() as session:
        found = list(session.scalars(select(Operation).where(
            Operation.action == payloads.INSTANCE_EJECT)))
        session.expunge_all()
    return found


def say(plane: ControlPlane, replica: str, word: dict[str, Any]) -> None:
    """Have a replica, that speaks for long, tell of its source; wait until that is known."""
    with plane.db.writer() as session:
        session.execute(update(ServiceStatusRow).where(
            ServiceStatusRow.instance_id == replica).values(
                heard_since=plane.clock.now() - datetime.timedelta(hours=1)))
    plane.agent(replica).replication = word
    wait_for(lambda: plane.show(replica).get("replication", {}).get("connected")
             == word.get("connected"), "the word of a replica")


def kinds(plane: ControlPlane, ident: str) -> list[tuple[str, str]]:
    found = plane.request("GET", f"/instances/{ident}/events", status=200).json["events"]
    return [(one["kind"], one["message"]) for one in found if "failover" in one["kind"]]


def want(plane: ControlPlane, ident: str, status: int = 202, **more: Any) -> str:
    return str(plane.request("PATCH", f"/instances/{ident}", {"instance": {
        "failover": {**WANTED, **more}}}, status=status).text)


def give_up(plane: ControlPlane, source: str, replicas: Sequence_[str], *, automatic: bool,
            ) -> None:
    """Have a lost source given up, by the service or by its owner, and wait for the replicas."""
    if automatic:
        want(plane, source)
        make(plane).run()
    else:
        eject(plane, source)
    for ident in replicas:
        plane.wait(ident, "ACTIVE")


def test_a_lost_source_is_given_up_once_and_its_set_goes_on(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    looks = [make(plane) for _ in range(4)]
    for replica in (one, two):
        say(plane, replica, HEARS)
    lose(plane, source)
    looks[0].run()
    want(plane, source)
    looks[0].run()
    assert ejections(plane) == [], "replicas hear the source"
    say(plane, two, ALONE)
    looks[0].run()
    assert ejections(plane) == [], "one replica hears the source"
    plane.agent(two).progress += 1
    say(plane, one, ALONE)
    threads = [threading.Thread(target=look.run) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    begun, = ejections(plane)
    assert (begun.status, begun.payload["automatic"]) == (operations.SUCCEEDED, True)
    assert begun.payload["replica_ids"] == sorted((one, two))
    assert (ids(plane, two), ids(plane, source), let_in(plane, source)) == ([one], [], set())
    assert "fence" not in [name for name, _ in plane.agent(source).asked], "it is not waited for"
    assert violations(plane) == []
    assert [kind for kind, _ in kinds(plane, source)] == ["failover.begun"]
    scraped = Scrape.of(plane.registries[TASKMANAGER])
    assert scraped.get(m.FAILOVERS.name, outcome="begun") == 1
    with plane.db.reader() as session:
        told = [row.event_type for row in session.scalars(
            select(Notification).order_by(Notification.id))
            if row.context["request_id"] == begun.request_id]
    assert told == ["dbaas.instance_failover.start", "dbaas.instance_failover.end"]
    # what the set does goes with the role
    for ident in (one, two):
        shown = plane.show(ident)["failover"]
        assert {name: shown[name] for name in WANTED} == WANTED
        assert shown["last_at"] is not None
    assert "failover" not in plane.show(source)


def test_a_set_fails_over_no_more_often_than_its_owner_says(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source, mode="manual")
    for replica in (one, two):
        say(plane, replica, ALONE)
    lose(plane, source)
    make(plane).run()
    assert ejections(plane) == [], "its owner does not want it"
    want(plane, source)
    make(plane).run()
    plane.wait(one, "ACTIVE")
    plane.wait(two, "ACTIVE")
    new, = (ident for ident in (one, two) if ids(plane, ident))
    lose(plane, new)
    for _ in range(3):
        make(plane).run()
    assert len(ejections(plane)) == 1
    assert kinds(plane, new) == [("failover.refused", "The last failover was less than 600 "
                                                      "seconds ago.")]


def test_only_replicas_that_can_take_the_place_are_asked(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    say(plane, one, {**ALONE, "last_lag": 6})
    say(plane, two, {**ALONE, "applies": False})
    lose(plane, source)
    make(plane).run()
    assert ejections(plane) == []
    (_, why), = kinds(plane, source)
    assert f"Replica {one} cannot take its place: it was behind" in why
    plane.agent(one).replication = ALONE
    wait_for(lambda: make(plane).run() or ejections(plane), "the failover")
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    # it had no part in the choice, and has nothing that the new source lacks
    assert (ids(plane, one), ids(plane, source)) == ([two], [])
    assert [name for name, _ in plane.agent(two).asked][-2:] == ["stop_receiving", "follow"]
    assert "fault" not in plane.show(two)
    assert violations(plane) == []


@pytest.mark.parametrize(("word", "why"), [
    ({"progress": 9}, "It has changes that the new source does not have."),
    ({"history": "later"}, "It has changes that the new source does not have."),
    ({"progress": -1}, "It has no data of the lost one yet."),
    (None, "It did not say how far it is. It applies what it has.")])
def test_a_straggler_that_cannot_follow_stays_behind_and_says_why(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch,
        word: dict[str, Any] | None, why: str) -> None:
    source, one, two = pair
    plane.conf.set_override("failover_candidate_timeout", 1)
    want(plane, source)
    say(plane, one, ALONE)
    say(plane, two, {**ALONE, "applies": False})
    lag = plane.agent(two)
    for name, value in (word or {}).items():
        setattr(lag, name, value)
    asked = []

    def answer(request: Any) -> Any:
        # clients write before it is asked
        asked.append(plane.agent(one).read_only)
        if word is None:
            raise Conflict("It applies what it has.")
        return type(lag)._stop_receiving(lag, request)

    monkeypatch.setattr(lag, "_stop_receiving", answer, raising=False)
    lose(plane, source)
    make(plane).run()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert set(asked) == {False}
    # one that works on something else is asked again for a while
    assert (len(asked) == 1) is (word is not None)
    assert (ids(plane, one), ids(plane, source)) == ([], [two])
    fault = plane.show(two)["fault"]["message"]
    assert fault.endswith(f"this one follows the lost one. {why}"), fault
    assert ejections(plane)[0].status == operations.SUCCEEDED
    assert violations(plane) == []


def test_stragglers_of_an_ejection_that_fails_are_told_that_they_stay_behind(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    plane.conf.set_override("timeouts", {"instance.eject": "6"}, group="operations")
    say(plane, one, ALONE)
    say(plane, two, {**ALONE, "applies": False})
    plane.hypervisor.failures["detach_replica take_over"] = "It is about to end."
    lose(plane, source)
    make(plane).run()
    plane.wait(two, "ACTIVE")
    assert "before it was asked" in plane.show(two)["fault"]["message"]
    assert (ids(plane, one), ids(plane, source)) == ([], [two])
    assert "stop_receiving" not in [name for name, _ in plane.agent(two).asked]
    assert ejections(plane)[0].status == operations.FAILED


def test_a_straggler_whose_database_refuses_to_follow_is_in_the_set_and_says_so(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    say(plane, one, ALONE)
    say(plane, two, {**ALONE, "applies": False})
    plane.hypervisor.failures["follow follow"] = "It is broken."
    lose(plane, source)
    make(plane).run()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert (ids(plane, one), ids(plane, source)) == ([two], [])
    assert "does not follow the new one. It is broken." in plane.show(two)["fault"]["message"]
    assert ejections(plane)[0].status == operations.SUCCEEDED


@pytest.mark.parametrize(("kind", "told"), [
    (ServiceUnavailable, 7),
    # more than the other one has by its answer: it ends within a change
    (Conflict, 9)])
def test_a_replica_that_does_not_say_how_far_it_is_is_done_without(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch,
        kind: type[TroveError], told: int) -> None:
    source, one, two = pair
    plane.conf.set_override("failover_candidate_timeout", 1)
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, {**ALONE, "progress": told})
    lose(plane, source)
    plane.agent(one).progress += 1
    asked = []

    def busy(_request: Any) -> Any:
        asked.append(time.monotonic())
        raise kind("It applies what it has.")

    monkeypatch.setattr(plane.agent(one), "_stop_receiving", busy, raising=False)
    make(plane).run()
    plane.wait(two, "ACTIVE")
    plane.wait(source, "SHUTDOWN")
    assert asked[-1] - asked[0] >= 0.5, "it gets its time"
    assert (ids(plane, two), ids(plane, source)) == ([], [one])
    assert "It applies what it has." in plane.show(one)["fault"]["message"]
    assert ejections(plane)[0].status == operations.SUCCEEDED
    assert violations(plane) == []
    names = [name for name, _ in plane.agent(one).asked]
    assert "follow" not in names[names.index("stop_receiving"):]


@pytest.mark.parametrize("told", [{"progress": 8}, {"progress": 1, "history": "later"}])
def test_a_replica_that_told_of_what_others_may_lack_is_waited_for(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch,
        told: dict[str, Any]) -> None:
    source, one, two = pair
    plane.conf.set_override("failover_candidate_timeout", 1)
    want(plane, source)
    say(plane, one, {**ALONE, **told})
    say(plane, two, ALONE)
    lose(plane, source)
    lag = plane.agent(one)
    lag.progress, lag.history, lag.silent = told["progress"], told.get("history", ""), 1
    asked = []

    def busy(_request: Any) -> Any:
        asked.append(time.monotonic())
        if asked[-1] - asked[0] < 2.5:
            raise ServiceUnavailable("It applies what it has.")
        return type(lag)._stop_receiving(lag, _request)

    monkeypatch.setattr(lag, "_stop_receiving", busy, raising=False)
    make(plane).run()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert (ids(plane, one), ids(plane, source)) == ([two], [])
    assert violations(plane) == []


def allow_more(plane: ControlPlane) -> None:
    """Let the project have more instances than a set of three."""
    plane.request("PUT", f"/mgmt/quotas/{plane.project_id}", {"quotas": {"instances": 9}},
                  token="admin", status=200)


def busy_for_hours(plane: ControlPlane, ident: str, folder: Path) -> StepEngine:
    """Have an agent back its instance up until that is cancelled, in the order of real steps."""
    agent = plane.agent(ident)
    engine = StepEngine(StepStore(folder), Outbox(agent._reports), Sequence(folder / "number"),
                        patience=0.2)

    def back_up(_request: Any, progress: Progress) -> m_.Message:
        while True:
            progress.check()
            time.sleep(0.05)

    def begin(request: Any) -> m_.Empty:
        engine.submit(request, back_up)
        return m_.Empty()

    ask = type(agent)._stop_receiving
    agent._create_backup = begin  # type: ignore[method-assign]
    agent._stop_receiving = lambda request: engine.call(  # type: ignore[method-assign]
        request, lambda one: ask(agent, one), rm.Position)
    agent._cancel_step = lambda request: m_.Flag(  # type: ignore[attr-defined]
        value=engine.cancel(request))
    return engine


@pytest.mark.parametrize("automatic", [True, False])
def test_backups_of_replicas_are_ended_when_their_source_is_lost(
        plane: ControlPlane, pair: tuple[str, str, str], tmp_path: Path, *,
        automatic: bool) -> None:
    source, one, two = pair
    engine = busy_for_hours(plane, one, tmp_path / "steps")
    made = plane.request("POST", "/backups", {"backup": {"name": "b", "instance": one}},
                         status=202).json["backup"]["id"]
    wait_for(lambda: engine.busy, "the backup")
    # only it has all
    plane.agent(one).progress += 1
    for replica in (one, two):
        say(plane, replica, ALONE)
    lose(plane, source)
    give_up(plane, source, (one, two), automatic=automatic)
    assert (ids(plane, one), ids(plane, source)) == ([two], [])
    assert not engine.busy
    backup = plane.request("GET", f"/backups/{made}", status=200).json["backup"]
    assert backup["status"] == "FAILED"
    assert "the source of its set is lost" in plane.show(one)["fault"]["message"]
    assert violations(plane) == []


def test_the_backup_of_a_straggler_is_ended_so_that_it_follows(
        plane: ControlPlane, pair: tuple[str, str, str], tmp_path: Path) -> None:
    source, one, two = pair
    engine = busy_for_hours(plane, two, tmp_path / "steps")
    plane.request("POST", "/backups", {"backup": {"name": "b", "instance": two}}, status=202)
    wait_for(lambda: engine.busy, "the backup")
    want(plane, source)
    say(plane, one, ALONE)
    say(plane, two, {**ALONE, "applies": False})
    lose(plane, source)
    make(plane).run()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert (ids(plane, one), ids(plane, source)) == ([two], [])
    assert not engine.busy
    assert "the source of its set is lost" in plane.show(two)["fault"]["message"]
    assert violations(plane) == []


@pytest.mark.parametrize("automatic", [True, False])
def test_replicas_that_never_followed_do_not_keep_a_lost_source(
        plane: ControlPlane, pair: tuple[str, str, str], *, automatic: bool) -> None:
    source, one, two = pair
    allow_more(plane)
    plane.hypervisor.failures["enable_as_source"] = "It does not want to."
    ask(plane, source, replica_count=3)
    failed = [ident for ident in ids(plane, source) if ident not in pair]
    for ident in failed:
        plane.wait(ident, "ERROR")
    plane.hypervisor.failures.clear()
    plane.agent(source).quiet = True
    building = ask(plane, source)["id"]
    wait_for(lambda: "create_backup" in [name for name, _ in plane.agent(source).asked][-3:],
             "the snapshot")
    for replica in (one, two):
        say(plane, replica, ALONE)
    lose(plane, source)
    give_up(plane, source, (one, two), automatic=automatic)
    assert (ids(plane, one), set(ids(plane, source))) == ([two], {building, *failed})
    for ident in failed:
        assert "this one follows the lost one" in plane.show(ident)["fault"]["message"]
    # it would have waited for a day for what the source will never send
    assert "source of its set is lost" in plane.wait(building, "ERROR")["fault"]["message"]
    for ident in (building, *failed, source):
        plane.request("DELETE", f"/instances/{ident}", status=202)
        plane.wait_gone(f"/instances/{ident}")
    assert violations(plane) == []


def test_a_network_service_that_is_away_does_not_keep_a_lost_source(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, one, two = pair
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, ALONE)
    lose(plane, source)
    close, refused = access.close, []

    def away(work: Work) -> None:
        if not refused:
            refused.append(work.resource_id)
            raise CloudError("The network service is away.")
        close(work)

    monkeypatch.setattr(access, "close", away)
    make(plane).run()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert refused == [source]
    assert let_in(plane, source) == set()


@pytest.mark.parametrize("waits", [True, False])
def test_no_replica_is_written_to_before_the_source_is_cut_off(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch,
        waits: bool) -> None:
    """The second time without the wait for the cloud, which has to be noticed."""
    source, *replicas = pair
    want(plane, source)
    for service, method, path in (("compute", "POST", "/action$"), ("network", "PUT", "/ports/")):
        plane.minicloud.faults.add({"kind": "error", "service": service, "method": method,
                                    "path": path, "status": 503})
    if not waits:
        monkeypatch.setattr(fencing, "isolate", lambda _work, _seconds: None)
    for replica in replicas:
        say(plane, replica, ALONE)
    lose(plane, source)

    def is_open() -> bool:
        return not all(plane.agent(one).read_only for one in replicas)

    make(plane).run()
    wait_for(lambda: is_open() or any(rule["hits"] for rule in plane.minicloud.faults.rules()),
             "the cloud to refuse it")
    end = time.monotonic() + 3
    while not is_open() and time.monotonic() < end:
        time.sleep(0.05)
    assert is_open() is not waits
    plane.minicloud.faults.clear()
    for one in replicas:
        plane.wait(one, "ACTIVE")
    assert is_open()
    if waits:
        plane.wait(source, "SHUTDOWN")
        assert violations(plane) == []


def end_database(plane: ControlPlane, source: str, seconds: float = 60,
                 status: ServiceStatus = ServiceStatus.CRASHED) -> None:
    """Have the agent of a source say for some time that its database has ended."""
    plane.agent(source).beat(status)
    wait_for(lambda: plane.show(source)["operating_status"] == status, "the end")
    with plane.db.writer() as session:
        session.execute(update(ServiceStatusRow).where(
            ServiceStatusRow.instance_id == source).values(
                down_since=plane.clock.now() - datetime.timedelta(seconds=seconds)))


@pytest.mark.parametrize("obeys", [True, False])
def test_a_database_that_does_not_come_back_is_fenced_by_its_agent_and_given_up(
        plane: ControlPlane, pair: tuple[str, str, str], *, obeys: bool) -> None:
    source, one, two = pair
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, {**ALONE, "unheard": 59})
    end_database(plane, source, 11)
    make(plane).run()
    assert ejections(plane) == [], "its agent starts it again"
    end_database(plane, source)
    if not obeys:
        plane.hypervisor.failures["fence"] = "The disk is dead."
    make(plane).run()
    for ident in (one, two):
        plane.wait(ident, "ACTIVE")
    begun, = ejections(plane)
    assert (begun.status, begun.payload["living"]) == (operations.SUCCEEDED, True)
    assert ("fence" in [name for name, _ in plane.agent(source).asked],
            plane.agent(source).fenced) == (True, obeys)
    found = plane.show(source)
    assert (ids(plane, source), let_in(plane, source)) == ([], set())
    server = plane.request("GET", f"/mgmt/instances/{source}", token="admin").json[
        "instance"]["server"]["status"]
    assert server == ("ACTIVE" if obeys else "SHUTOFF"), found
    assert violations(plane) == []


def test_a_database_that_works_again_keeps_its_place(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, {**ALONE, "unheard": 59})
    end_database(plane, source)
    plane.manager.stop()
    make(plane).run()
    begun, = ejections(plane)
    plane.agent(source).beat(ServiceStatus.HEALTHY)

    def works() -> bool:
        with plane.db.reader() as session:
            return session.get_one(ServiceStatusRow, source).down_since is None

    wait_for(works, "the database")
    plane.start_taskmanager("other").sweep()
    plane.wait(source, "ACTIVE")
    assert "works again" in (ejections(plane)[0].error or "")
    assert "fence" not in [name for name, _ in plane.agent(source).asked]
    assert set(ids(plane, source)) == {one, two}
    assert begun.id == ejections(plane)[0].id


def test_why_a_source_whose_database_is_lost_stays_is_told(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    for replica in (one, two):
        # something answers there
        say(plane, replica, {name: value for name, value in ALONE.items() if name != "unheard"})
    end_database(plane, source, status=ServiceStatus.BLOCKED)
    look = make(plane)
    for _ in range(2):
        look.run()
    assert ejections(plane) == []
    assert kinds(plane, source) == [(
        "failover.refused",
        "Only 0 of 2 replicas say that they lost the source when its database ended.")]
    plane.agent(source).beat(ServiceStatus.HEALTHY)
    wait_for(lambda: plane.show(source)["operating_status"] == "HEALTHY", "the database")
    look.run()
    with plane.db.reader() as session:
        assert session.get_one(Failover, source).refused == ""


def test_too_many_at_a_time_wait(plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, ALONE)
    lose(plane, source)
    plane.manager.stop()
    with plane.db.writer() as session:
        for number in range(plane.conf.failover_max_running):
            session.add(Operation(
                action=payloads.INSTANCE_EJECT, resource_type="instance",
                resource_id=str(number), live_key=str(number), tenant_id="t", user_id="u",
                request_id="r", payload={}))
    make(plane).run()
    assert kinds(plane, source) == [("failover.refused", "Too many failovers are under way.")]


def test_a_look_costs_one_statement_while_all_are_heard(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    want(plane, pair[0], timeout_seconds=60)
    seen: list[str] = []
    engine = plane.db.engine
    event.listen(engine, "before_cursor_execute",
                 lambda _c, _cursor, text, *_more: seen.append(text))
    look = make(plane)
    threading.Event().wait(0.1)
    seen.clear()
    look.run()
    assert len([one for one in seen if "failovers" in one]) == 1


def test_a_source_that_stays_is_told_of_once_a_silence_and_locked_no_more(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, {**ALONE, "last_lag": 6})
    lose(plane, source)
    look = make(plane)
    look.run()
    assert len(kinds(plane, source)) == 1
    seen: list[str] = []
    mine = threading.get_ident()
    event.listen(plane.db.engine, "before_cursor_execute", lambda _c, _cursor, text, *_more: (
        seen.append(text) if threading.get_ident() == mine else None))
    look.run()
    assert [one.split()[0] for one in seen] == ["BEGIN", "SELECT", "SELECT"]
    agent = plane.agent(source)
    assert isinstance(agent, LivingAgent)
    agent.lost = False
    wait_for(lambda: plane.show(source)["operating_status"] != "ERROR", "the source")
    look.run()
    lose(plane, source)
    look.run()
    assert len(kinds(plane, source)) == 2


def test_nothing_is_told_where_nobody_is_heard(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    want(plane, pair[0])
    for member in pair:
        lose(plane, member)
    make(plane).run()
    assert kinds(plane, pair[0]) == []


def test_a_replica_that_left_until_it_was_locked_is_not_of_the_set(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, one, two = pair
    found = instances.replica_ids

    def left(session: Session, ids_: Sequence_[str]) -> dict[str, list[str]]:
        before = found(session, ids_)
        session.execute(update(Instance).where(Instance.id == two).values(slave_of_id=None))
        return before

    monkeypatch.setattr(instances, "replica_ids", left)
    with plane.db.writer() as session:
        assert [row.id for row, _ in failover._locked(session, source)] == [source, one]
        session.rollback()


def test_what_a_set_does_is_its_source_s_to_say(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, _ = pair
    assert plane.show(source)["failover"] == plane.show(one)["failover"] == {"mode": "manual"}
    assert "is set at the source" in want(plane, one, 400)
    for wrong, field in (({"timeout_seconds": 2}, "timeout_seconds"),
                         ({"min_interval_seconds": 29}, "min_interval_seconds"),
                         ({"max_lag": -1}, "max_lag"), ({"mode": "auto"}, "mode"),
                         ({"other": 1}, "other")):
        assert field in want(plane, source, 400, **wrong)
    plane.agent(source).interval = 4
    wait_for(lambda: "at least 6" in plane.request("PATCH", f"/instances/{source}", {"instance": {
        "failover": {**WANTED, "timeout_seconds": 5}}}).text, "the interval")
    want(plane, source, timeout_seconds=6)
    plane.agent(source).interval = None
    wait_for(lambda: plane.request("PATCH", f"/instances/{source}", {"instance": {
        "failover": WANTED}}).status_int == 202, "an agent that does not tell")
    answer = plane.request("POST", "/instances", {"instance": {
        "name": "x", "replica_of": source, "failover": WANTED}}, status=400)
    assert "instance.failover" in answer.text
    want(plane, source)
    promote(plane, one)
    plane.wait(one, "ACTIVE")
    plane.wait(source, "ACTIVE")
    for ident in pair:
        assert plane.show(ident)["failover"] == {**WANTED, "last_at": None}


def test_of_several_histories_that_of_who_heard_the_source_last_goes_on(
        plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    plane.add_redis()
    source = plane.create(datastore={"type": "redis", "version": "7.0"}, failover=WANTED)
    plane.wait(source, "ACTIVE")
    ask(plane, source, replica_count=2)
    one, two = ids(plane, source)
    for ident, history, progress, silent in ((one, "after", 5, 2), (two, "before", 900, 4)):
        plane.wait(ident, "ACTIVE")
        agent = plane.agent(ident)
        agent.history, agent.progress, agent.silent = history, progress, silent
        say(plane, ident, {**ALONE, "history": history, "progress": progress, "unheard": silent})
    lose(plane, source)
    make(plane).run()
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert (ids(plane, one), ids(plane, source)) == ([two], [])
    assert violations(plane) == []
