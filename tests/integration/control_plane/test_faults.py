"""Faults of the control plane whose store is a server: workers that die, return, are cancelled.

In the functional tests its store is SQLite, which knows no locks of rows and has one writer at
a time.  These are a few of those suites' cases, others for each ``TROVE_SEED``; with
``TROVE_TEST_STORE=mariadb`` (or ``postgresql``) the suites themselves have that store.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.functional.control_plane import test_cancel_points as cancelled
from tests.functional.control_plane import test_cloud_faults as faults
from tests.functional.control_plane import test_crash_points as crashed
from tests.functional.control_plane import test_kill as killed
from tests.functional.control_plane.cloud_calls import FAULTS, Fault, Wire
from tests.functional.control_plane.scenarios import WITHOUT_CALLS
from tests.functional.control_plane.world import World
from trove_ng.operations.runbooks.registry import runbooks

_SEED = os.environ["TROVE_SEED"]


def some(names: str, cases: Sequence[Any], count: int = 1) -> pytest.MarkDecorator:
    """Return the mark that gives a test some of the cases."""
    choice = random.Random(f"{_SEED} {names} {cases[0]}")
    return pytest.mark.parametrize(names, choice.sample(cases, count), ids=_name)


def _name(value: Any) -> str | None:
    return value.name.replace(" ", "_") if isinstance(value, Fault) else None


@some("action, fails, point", crashed.sampled(runbooks()), 3)
def test_another_worker_ends_what_one_left(
        world: World, action: str, fails: bool, point: str) -> None:
    crashed.test_another_worker_ends_what_one_left(world, action, fails, point)


@some("action, fails", crashed.calling(0.25))
def test_another_worker_ends_what_one_left_after_a_call(
        world: World, action: str, fails: bool) -> None:
    crashed.test_another_worker_ends_what_one_left_after_a_call(world, action, fails)


@some("action, fails", crashed.calling(0.2))
def test_a_worker_that_comes_back_does_no_more(
        world: World, action: str, fails: bool) -> None:
    crashed.test_a_worker_that_comes_back_does_no_more(world, action, fails, "ask")


@some("action, fails", crashed.telling(0.2, (False, True)))
def test_a_worker_that_comes_back_is_not_heard_by_agents(
        world: World, action: str, fails: bool) -> None:
    crashed.test_a_worker_that_comes_back_is_not_heard_by_agents(world, action, fails)


@some("action", crashed.FORCED)
def test_a_force_delete_wins_against_a_worker_in_a_call(world: World, action: str) -> None:
    crashed.test_a_force_delete_wins_against_a_worker_in_a_call(world, action)


@some("action, point", killed.cases())
def test_another_worker_ends_what_a_killed_process_left(
        world: World, tmp_path: Path, action: str, point: str) -> None:
    killed.test_another_worker_ends_what_a_killed_process_left(world, tmp_path, action, point)


@some("action, point", cancelled.cases())
def test_what_is_cancelled_leaves_nothing(world: World, action: str, point: str) -> None:
    cancelled.test_what_is_cancelled_leaves_nothing(world, action, point)


@some("fault", FAULTS)
@some("action", [one for one in runbooks() if (one, False) not in WITHOUT_CALLS])
def test_an_operation_ends_whatever_one_call_does(
        world: World, wire: Wire, action: str, fault: Fault) -> None:
    faults.test_an_operation_ends_whatever_one_call_does(world, wire, action, False, fault)
