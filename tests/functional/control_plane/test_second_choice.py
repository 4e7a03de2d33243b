"""Replicas that are chosen to take the place of a lost source, and are lost, too."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.test_failover import (
    ALONE,
    allow_more,
    ejections,
    make,
    say,
    want,
)
from tests.functional.control_plane.test_replicas import ask, ids, let_in, servers
from tests.functional.control_plane.test_replicas import pair as pair  # noqa: PLC0414  fixture
from tests.functional.control_plane.world import LivingAgent, lose, wait_for
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import Instance, ServiceStatusRow
from trove_ng.db.repositories import operations
from trove_ng.operations import access, fencing, roles
from trove_ng.operations.work import Work

Set = tuple[str, str, str]


def age(plane: ControlPlane, ident: str, **columns: Any) -> None:
    """Have an agent not be heard of for long, or say something for long."""
    long_ago = plane.clock.now() - datetime.timedelta(hours=1)
    with plane.db.writer() as session:
        session.execute(update(ServiceStatusRow).where(
            ServiceStatusRow.instance_id == ident).values(
                dict.fromkeys(columns or ("updated_at",), long_ago)))


def die_as_chosen(plane: ControlPlane, ident: str, *, does_it: bool = False) -> list[str]:
    """Have a replica be lost as it is told to take the place, and return what it is asked then.

    :param does_it: it lets clients write, and its answer is lost
    """
    agent, asked = plane.agent(ident), list[str]()
    assert isinstance(agent, LivingAgent)

    def is_lost(request: Any) -> Any:
        asked.append(request.step)
        agent.lost = True
        # a heartbeat may be on its way
        time.sleep(0.3)
        age(plane, ident)
        if does_it:
            type(agent)._detach_replica(agent, request)
        raise ServiceUnavailable("It is gone.")

    agent._detach_replica = is_lost  # type: ignore[method-assign]
    return asked


def with_third(plane: ControlPlane, found: Set, ahead: Sequence[str] = ()) -> str:
    """Add a replica to a set whose source will be given up when it is lost; return it.

    :param ahead: replicas that can take the place as well, and have more, each than the one before
    """
    source, _, _ = found
    allow_more(plane)
    third = str(ask(plane, source)["id"])
    plane.wait(third, "ACTIVE")
    plane.wait(source, "ACTIVE")
    plane.conf.set_override("failover_candidate_timeout", 1)
    want(plane, source)
    for number, replica in enumerate((third, *ahead)):
        say(plane, replica, ALONE)
        plane.agent(replica).progress += number
    return third


@pytest.fixture
def lost(plane: ControlPlane, pair: Set) -> Set:
    """A set whose source is lost, and will be given up; the first replica has most."""
    source, one, two = pair
    plane.conf.set_override("failover_candidate_timeout", 1)
    want(plane, source)
    for replica in (one, two):
        say(plane, replica, ALONE)
    plane.agent(one).progress += 2
    lose(plane, source)
    return pair


@pytest.fixture
def seen(plane: ControlPlane, lost: Set, monkeypatch: pytest.MonkeyPatch,
         ) -> Iterator[list[tuple[bool, bool]]]:
    """Whether the first choice is cut off, and others were told, each time one is to open."""
    _, one, two = lost
    found: list[tuple[bool, bool]] = []
    agent = plane.agent(two)

    def look(request: Any) -> Any:
        ports = plane.tools.clouds.network.find_ports(one)
        found.append((servers(plane).get(one) == "SHUTOFF" or not any(
            port.is_open for port in ports), plane.show(one).get("replica_of") is None))
        return type(agent)._detach_replica(agent, request)

    monkeypatch.setattr(agent, "_detach_replica", look, raising=False)
    yield found


def end(plane: ControlPlane) -> None:
    wait_for(lambda: ejections(plane)[0].status in (operations.SUCCEEDED, operations.FAILED),
             "the end")


def ends_well(plane: ControlPlane, found: Set) -> None:
    """See that the second choice is the source, and the others are put aside."""
    source, one, two = found
    end(plane)
    begun, = ejections(plane)
    assert (begun.status, begun.error) == (operations.SUCCEEDED, None)
    plane.wait(two, "ACTIVE")
    assert not plane.agent(two).read_only
    for aside in (source, one):
        shown = plane.wait(aside, "SHUTDOWN")
        assert (ids(plane, aside), "replica_of" in shown, let_in(plane, aside),
                shown["access"]["allowed_cidrs"]) == ([], False, set(), [])
        assert [port.is_open for port in plane.tools.clouds.network.find_ports(aside)] == [True]
    works = (two, *ids(plane, two))
    assert servers(plane) == {one: "SHUTOFF", source: "SHUTOFF",
                              **dict.fromkeys(works, "ACTIVE")}
    assert f"replica {two} does." in plane.show(one)["fault"]["message"]
    # what the set does goes with the role
    assert plane.show(two)["failover"]["mode"] == "automatic"
    assert not any("failover" in plane.show(ident) for ident in (source, one))
    assert violations(plane) == []
    with plane.db.reader() as session:
        assert not session.get_one(Instance, two).unopened


@pytest.mark.parametrize("does_it", [True, False])
def test_the_next_one_takes_the_place_when_the_chosen_one_is_cut_off(
        plane: ControlPlane, lost: Set, seen: list[tuple[bool, bool]], *, does_it: bool) -> None:
    source, one, two = lost
    asked = die_as_chosen(plane, one, does_it=does_it)
    make(plane).run()
    ends_well(plane, lost)
    assert seen == [(True, True)]
    assert plane.agent(one).read_only is not does_it
    assert set(asked) == {"take_over"}
    events = [found["message"] for found in plane.request(
        "GET", f"/instances/{one}/events", status=200).json["events"]]
    assert f"Instance {two} is the source of its set now; it was." in events


def test_the_others_follow_the_one_that_lets_clients_write(
        plane: ControlPlane, pair: Set) -> None:
    source, one, two = pair
    third = with_third(plane, pair, (two, one))
    lose(plane, source)
    for replica in (one, two):
        die_as_chosen(plane, replica)
    make(plane).run()
    end(plane)
    assert ejections(plane)[0].status == operations.SUCCEEDED
    # two fell in turn, and the last one is the source
    for ident in (source, one, two):
        plane.wait(ident, "SHUTDOWN")
        assert (ids(plane, ident), "replica_of" in plane.show(ident)) == ([], False)
    assert not plane.agent(third).read_only
    assert violations(plane) == []


def test_the_third_follows_the_second_choice(plane: ControlPlane, pair: Set) -> None:
    source, one, two = pair
    third = with_third(plane, pair, (two, one))
    lose(plane, source)
    die_as_chosen(plane, one)
    make(plane).run()
    ends_well(plane, pair)
    assert ids(plane, two) == [third]
    follows = plane.agent(third).follows
    assert follows is not None
    assert follows.host in [one["address"] for one in plane.show(two)["addresses"]]


@pytest.mark.parametrize(("progress", "follows"), [(7, True), (8, False)])
def test_stragglers_follow_the_second_choice_if_they_have_no_more_than_it(
        plane: ControlPlane, pair: Set, *, progress: int, follows: bool) -> None:
    source, one, two = pair
    third = with_third(plane, pair)
    for replica in (one, two):
        say(plane, replica, ALONE)
    say(plane, third, {**ALONE, "applies": False})
    # the first choice had as much as the straggler that stays behind
    plane.agent(one).progress, plane.agent(two).progress = 8, 7
    plane.agent(third).progress = progress
    lose(plane, source)
    die_as_chosen(plane, one)
    make(plane).run()
    end(plane)
    assert ejections(plane)[0].status == operations.SUCCEEDED
    assert (ids(plane, two), ids(plane, source)) == (
        ([third], []) if follows else ([], [third]))
    assert ids(plane, one) == []
    assert ("It has changes that the new source does not have." in plane.show(third).get(
        "fault", {}).get("message", "")) is not follows
    assert violations(plane) == []


def test_a_chosen_one_whose_server_is_gone_is_waited_for_no_longer(
        plane: ControlPlane, lost: Set, seen: list[tuple[bool, bool]]) -> None:
    source, one, two = lost
    plane.conf.set_override("failover_candidate_timeout", 600)
    agent = plane.agent(one)

    def gone(_request: Any) -> Any:
        server = plane.tools.clouds.compute.find_server(one)
        if server is not None:
            plane.tools.clouds.compute.delete_server(server.id)
        time.sleep(1)
        raise ServiceUnavailable("It is gone.")

    agent._detach_replica = gone  # type: ignore[method-assign]
    agent.lost = True  # type: ignore[attr-defined]
    make(plane).run()
    end(plane)
    assert ejections(plane)[0].status == operations.SUCCEEDED
    assert (plane.agent(two).read_only, ids(plane, one), ids(plane, source)) == (False, [], [])


def test_a_chosen_one_whose_database_does_not_come_back_is_given_up(
        plane: ControlPlane, lost: Set, seen: list[tuple[bool, bool]]) -> None:
    _, one, _ = lost
    agent = plane.agent(one)

    def down(_request: Any) -> Any:
        agent.beat(ServiceStatus.CRASHED)
        time.sleep(0.3)
        age(plane, one, down_since=True)
        raise ServiceUnavailable("The database does not answer.")

    agent._detach_replica = down  # type: ignore[method-assign]
    make(plane).run()
    ends_well(plane, lost)
    assert seen == [(True, True)]


def wait_in_vain(plane: ControlPlane, found: Set, why: str) -> None:
    source, one, two = found
    end(plane)
    assert why in (ejections(plane)[0].error or "")
    assert (ids(plane, one), plane.agent(two).read_only) == ([two], True)
    assert servers(plane) == {source: "SHUTOFF", one: "ACTIVE", two: "ACTIVE"}
    # it may come back
    assert let_in(plane, one) > set()
    assert [port.is_open for ident in found
            for port in plane.tools.clouds.network.find_ports(ident)] == [True] * 3
    assert f"Nobody can write to instance {one}" in plane.show(one)["fault"]["message"]


def test_nobody_is_given_up_while_no_other_one_is_heard(
        plane: ControlPlane, lost: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, two = lost
    plane.conf.set_override("timeouts", {"instance.eject": "6"}, group="operations")
    write = roles.write

    def deaf(work: Work, *args: Any, **more: Any) -> None:
        write(work, *args, **more)
        for ident in (one, two):
            agent = plane.agent(ident)
            assert isinstance(agent, LivingAgent)
            agent.lost = True
        time.sleep(0.3)
        age(plane, two)

    monkeypatch.setattr(roles, "write", deaf)
    asked = die_as_chosen(plane, one)
    make(plane).run()
    wait_in_vain(plane, lost, "Timed out waiting for the new source to let clients write.")
    assert len(asked) > 1


def test_a_chosen_one_that_may_live_stays(
        plane: ControlPlane, lost: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, two = lost
    plane.conf.set_override("timeouts", {"instance.eject": "8"}, group="operations")
    isolate = fencing._insist

    def stays(work: Work, what: str, attempts: Any, seconds: float | None) -> None:
        if work.resource_id == one:
            # the cloud does what it is asked for, and nobody sees it
            isolate(work, what, [lambda found, do=do: do(found) and False for do in attempts],
                    seconds)
        isolate(work, what, attempts, seconds)

    monkeypatch.setattr(fencing, "_insist", stays)
    die_as_chosen(plane, one)
    make(plane).run()
    wait_in_vain(plane, lost, "Timed out waiting for the server of the old source to be cut off.")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("module", "name"), [
    (access, "close"), (fencing, "isolate"), (roles, "write"), (fencing, "put_aside")])
def test_a_worker_that_ends_as_it_takes_the_next_one_is_followed_by_another(
        plane: ControlPlane, lost: Set, seen: list[tuple[bool, bool]],
        monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, after: bool) -> None:
    """The step begins again from its beginning, as at another worker."""
    _, one, two = lost
    do: Callable[..., Any] = getattr(module, name)
    failed: list[str] = []

    def once(work: Work, *args: Any, **more: Any) -> Any:
        of_second = work.resource_id == one or (args and args[0] == two)
        if of_second and not failed:
            failed.append(name)
            if after:
                do(work, *args, **more)
            raise ServiceUnavailable("It ends here.")
        return do(work, *args, **more)

    monkeypatch.setattr(module, name, once)
    die_as_chosen(plane, one, does_it=True)
    make(plane).run()
    ends_well(plane, lost)
    assert (failed, seen) == ([name], [(True, True)])


def test_another_boot_opens_the_ports_of_one_that_was_chosen(
        plane: ControlPlane, lost: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, two = lost
    monkeypatch.setattr(fencing, "put_aside", lambda _work: "It was not put aside.")
    die_as_chosen(plane, one)
    make(plane).run()
    plane.wait(two, "ACTIVE")
    network = plane.tools.clouds.network
    wait_for(lambda: plane.show(one)["status"] == "ERROR", "the end")
    wait_for(lambda: servers(plane)[one] == "SHUTOFF", "the server")
    assert [port.is_open for port in network.find_ports(one)] == [False]
    agent = plane.agent(one)
    assert isinstance(agent, LivingAgent)
    agent.lost = False
    plane.request("POST", f"/mgmt/instances/{one}/action", {"reboot": {}}, status=202,
                  token="admin")
    wait_for(lambda: [port.is_open for port in network.find_ports(one)] == [True], "the ports")
    assert let_in(plane, one) == set()
