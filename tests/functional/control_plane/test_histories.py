"""Which replica has most, and whether a new source has it still."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.test_replicas import (
    ask,
    eject,
    ids,
    pair,
    promote,
)
from tests.functional.control_plane.world import LivingAgent, lose, wait_for
from trove_ng.common.errors import GuestError
from trove_ng.operations import roles
from trove_ng.operations.replication import account
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm

__all__ = ["pair"]


def test_no_replica_without_data_takes_the_place_of_a_source(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    for ident in (one, two):
        plane.agent(ident).progress = -1
    lose(plane, source)
    eject(plane, source)
    wait_for(lambda: "fault" in plane.show(source), "the failure")
    assert plane.show(source)["fault"]["message"] == "No replica has the data of the source."
    assert set(ids(plane, source)) == {one, two}
    assert violations(plane) == []
    plane.agent(two).progress = 0
    eject(plane, source)
    plane.wait(two, "ACTIVE")
    wait_for(lambda: ids(plane, two) == [one], "the new source")


@pytest.mark.parametrize(("silent", "chosen"), [((500, 3), 1), ((0, 500), 0), ((None, 9), 1)])
def test_numbers_of_another_history_say_nothing(
        plane: ControlPlane, pair: tuple[str, str, str], silent: tuple[int | None, ...],
        chosen: int) -> None:
    source, *replicas = pair
    for number, one in enumerate(replicas):
        agent = plane.agent(one)
        agent.history, agent.silent = f"history-{number}", silent[number]
        # the one that lost the source long ago has the greater number
        agent.progress = 10 if number == chosen else 1000
    lose(plane, source)
    eject(plane, source)
    wait_for(lambda: ids(plane, replicas[chosen]) == [replicas[1 - chosen]], "the new source")
    for one in replicas:
        plane.wait(one, "ACTIVE")


def test_nothing_is_chosen_where_nothing_tells(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    plane.agent(one).history, plane.agent(two).history = "a", "b"
    lose(plane, source)
    eject(plane, source)
    wait_for(lambda: "fault" in plane.show(source), "the failure")
    assert "cannot be told which" in plane.show(source)["fault"]["message"]
    assert set(ids(plane, source)) == {one, two}
    assert "receive_again" in [name for name, _ in plane.agent(one).asked]


@pytest.fixture
def copying(plane: ControlPlane) -> tuple[str, str, str]:
    """A source, and two replicas that copy its data whenever they begin to follow."""
    plane.hypervisor.make_agent = LivingAgent
    plane.add_redis()
    source = plane.create(datastore={"type": "redis", "version": "7.0"})
    plane.wait(source, "ACTIVE")
    ask(plane, source, replica_count=2)
    one, two = ids(plane, source)
    for ident in (one, two):
        plane.wait(ident, "ACTIVE")
    return source, one, two


def test_a_new_source_that_lost_changes_is_not_copied(
        plane: ControlPlane, copying: tuple[str, str, str]) -> None:
    source, chosen, other = copying
    agent = plane.agent(chosen)

    def older(request: rm.PositionRequest) -> m.Flag:
        """Have all until it follows nobody, as if it began again with older data then."""
        return m.Flag(value=agent.follows is not None)

    agent._wait_for_position = older  # type: ignore[method-assign]
    promote(plane, chosen)
    assert plane.wait(chosen, "ACTIVE")["fault"]["message"] == (
        "The new source has lost changes that the source has.")
    for ident in (source, other):
        assert chosen not in [_followed(plane, request) for request in _moves(plane, ident)]
    assert set(ids(plane, source)) == {chosen, other}
    assert not plane.agent(source).read_only
    assert violations(plane) == []


def _moves(plane: ControlPlane, ident: str) -> list[rm.FollowRequest]:
    return [one for _, one in plane.agent(ident).asked if isinstance(one, rm.FollowRequest)]


def _followed(plane: ControlPlane, request: rm.FollowRequest) -> str:
    return next(str(one["id"]) for one in plane.request(
        "GET", "/instances", status=200).json["instances"] if request.host in one["ip"])


def test_what_fails_before_the_freeze_leaves_all_with_their_accounts(
        plane: ControlPlane, pair: tuple[str, str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "accounts_are_data", lambda _work: True)
    source, chosen, other = pair
    agent, refused = plane.agent(other), LivingAgent._follow

    def refuse(request: rm.FollowRequest) -> Any:
        if request.step == "ready":
            raise GuestError("It does not want to.")
        return refused(agent, request)

    agent._follow = refuse  # type: ignore[method-assign]
    promote(plane, chosen)
    assert "does not want to" in plane.wait(chosen, "ACTIVE")["fault"]["message"]
    for ident in (chosen, other):
        followed = plane.agent(ident).follows
        assert followed is not None
        assert followed.password.reveal() == plane.agent(source).accounts[account(ident)]
    assert violations(plane) == []


def test_replicas_that_stop_at_larger_settings_of_the_new_source_are_asked_once_more(
        plane: ControlPlane, pair: tuple[str, str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "accounts_are_data", lambda _work: True)
    source, chosen, other = pair
    agent = plane.agent(other)

    def stops(_request: rm.PositionRequest) -> m.Flag:
        """Apply all but what comes when the new source begins to write."""
        return m.Flag(value="writable" not in _steps(plane, chosen))

    agent._wait_for_position = stops  # type: ignore[method-assign]
    promote(plane, chosen)
    for ident in pair:
        plane.wait(ident, "ACTIVE")
    assert _steps(plane, other)[-1] == "settle"
    assert "settle" not in _steps(plane, source)
    assert set(ids(plane, chosen)) == {source, other}
    assert violations(plane) == []


def _steps(plane: ControlPlane, ident: str) -> list[str]:
    return [one.step for _, one in plane.agent(ident).asked if isinstance(one, m.StepRequest)]


def test_so_they_are_after_an_ejection(
        plane: ControlPlane, pair: tuple[str, str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "accounts_are_data", lambda _work: True)
    source, chosen, other = pair
    plane.agent(chosen).progress += 1
    plane.agent(other).reaches = False
    lose(plane, source)
    eject(plane, source)
    for ident in (chosen, other):
        plane.wait(ident, "ACTIVE")
    assert _steps(plane, other)[-2:] == ["follow", "settle"]
    assert ids(plane, chosen) == [other]
