"""Something breaks when a step begins, or stays for ever as it is on its way to be.

Made of the run-books: each of what an instance consists of, of one instance of a set and of
the other, before each step; and each job that the cloud accepted, which then never runs, so
that a volume stays ``creating``, a server ``BUILD``.  By default some are tried, the same ones
for the same ``TROVE_SEED``; all with ``TROVE_FAULTS=all``.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import pytest
from sqlalchemy import select

from tests.functional.control_plane import invariants
from tests.functional.control_plane.cloud_calls import failing
from tests.functional.control_plane.scenarios import SCENARIOS, WITHOUT_CALLS
from tests.functional.control_plane.test_crash_points import some
from tests.functional.control_plane.world import Worker, World
from trove_ng.db.models import Backup, Instance, Operation
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import Work

T = TypeVar("T")
_ALL = os.environ.get("TROVE_FAULTS") == "all"
_SEED = os.environ["TROVE_SEED"]
_OWN, _OTHER = "own", "other"
_SERVER = ("server error", "server gone")
_REST = ("volume error", "volume gone", "port gone")
_SNAPSHOT = ("snapshot error", "snapshot gone")
#: whose instances matter, of actions that have none of their own, or have others beside it
_OTHERS = {
    **dict.fromkeys(payloads.OF_SETS, (_OWN, _OTHER)),
    payloads.INSTANCE_CREATE_REPLICA: (_OWN, _OTHER),
    payloads.INSTANCE_DETACH_REPLICA: (_OWN, _OTHER),
    payloads.BACKUP_SEED_REPLICAS: (_OWN, _OTHER),
    payloads.BACKUP_CREATE: (_OWN,),
    payloads.BACKUP_SNAPSHOT: (_OWN,),
    payloads.BACKUP_VERIFY: (_OWN,),
    payloads.CONFIGURATION_APPLY: (_OTHER,),
    payloads.MODULE_REAPPLY: (_OTHER,),
}
#: what a message must name when a job was not done
_WORDS = {"nova": re.compile(r"server|compute service|volume to be attached"),
          "cinder": re.compile("volume|snapshot")}
#: ways that ask for nothing that the cloud does later
_WITHOUT_JOBS = {
    payloads.INSTANCE_SET_TLS, payloads.INSTANCE_ROLL_BACK_TLS, payloads.INSTANCE_PROMOTE,
    payloads.INSTANCE_DETACH_REPLICA, payloads.INSTANCE_UPDATE_ACCESS,
    payloads.INSTANCE_RECOVER, payloads.BACKUP_CREATE, payloads.BACKUP_DELETE,
    payloads.BACKUP_IMPORT}
#: what cannot be taken back also when nothing is stuck
_FINAL = "The root disk is replaced already."


@pytest.fixture(autouse=True)
def _hurry(world: World) -> Iterator[None]:
    world.instance()
    with world.hurry():
        yield


def chosen(cases: Sequence[T], share: float) -> list[T]:
    return list(cases) if _ALL else some(cases, share)


def instance_of(world: World, resource_id: str, whose: str) -> str | None:
    """Return the instance that an operation works on, or another one; None if there is none.

    :param resource_id: of the operation: an instance, or a backup of one, or for one
    """
    with world.plane.db.reader() as session:
        backup = session.get(Backup, resource_id)
        rows = session.scalars(select(Instance).where(Instance.deleted.is_(False))).all()
        restored = [one.id for one in rows if one.verifies_id == resource_id]
        own = resource_id
        if backup is not None:
            own = (restored or [str(backup.instance_id)])[0]
        found = [one.id for one in rows if (one.id == own) is (whose == _OWN)]
    return found[0] if found else None


def spoiled(world: World, kind: str, owner_id: str) -> bool:
    """Have something be in error, or gone; return whether there was any.

    :param owner_id: of the instance, or of the backup that is a snapshot
    """
    store, clouds = world.plane.minicloud.store, world.plane.tools.clouds
    what, _, how = kind.partition(" ")
    found = next((one for one in store.list(what) if owner_id in str(
        one.get("metadata")) + str(one["name"])), None)
    if found is None:
        return False
    if how == "gone":
        {"server": clouds.compute.delete_server, "port": clouds.network.delete_port,
         "volume": clouds.volume.force_delete_volume,
         "snapshot": clouds.volume.delete_snapshot}[what](found["id"])
    else:
        key = "vm_state" if what == "server" else "status"
        store.put(what, found["id"], {**found, key: "error"}, found.get("project_id", ""))
    return True


def _cases() -> list[tuple[str, str, str, str]]:
    """Return action and step, whose instance, and what is wrong with it when that begins."""
    found = []
    for action, book in runbooks().items():
        own = (_OWN,) if SCENARIOS[action].kind == "instances" else ()
        for whose in _OTHERS.get(action, own):
            # that of the other one is nothing to actions that leave it alone
            more = () if (action, False) in WITHOUT_CALLS or (
                whose == _OTHER and action != payloads.INSTANCE_GROW_SET) else _REST
            found += [(action, step.name, whose, kind) for step in book.steps
                      for kind in (*_SERVER, *more)]
        if action in (payloads.BACKUP_SNAPSHOT, payloads.BACKUP_DELETE_SNAPSHOT):
            found += [(action, step.name, "backup", kind) for step in book.steps
                      for kind in _SNAPSHOT]
    return found


def _check_end(world: World, row: Operation, resource_id: str) -> None:
    """Check that an operation that found something broken has ended, and says why."""
    scenario = SCENARIOS[row.action]
    assert (row.status == operations.FAILED) is bool(row.error)
    assert "unexpected error" not in str(row.error), row.error
    allowed: tuple[str | None, ...] = (scenario.good, *scenario.shown(good=False))
    if scenario.kind == "instances":
        allowed = (*allowed, "ERROR", "SHUTDOWN")
    assert world.shown(scenario.kind, resource_id) in allowed, row.error
    busy = [one for one in invariants.violations(world.plane) if re.search(
        "under way|not ended|reserved|keeps its secrets|left records", one)]
    assert not busy, "\n".join(busy)


def _take_away(world: World, resource_id: str) -> None:
    """See that all can be deleted."""
    world.abandon()
    world.tidy()
    with world.plane.db.reader() as session:
        kept = session.scalars(select(Instance.id).where(Instance.deleted.is_(False))).all()
    assert not kept, f"{resource_id} left {kept}"


@pytest.mark.parametrize(("action", "step", "whose", "kind"), chosen(_cases(), 0.012))
def test_what_is_broken_when_a_step_begins_leaves_nothing(
        world: World, action: str, step: str, whose: str, kind: str) -> None:
    """Whatever becomes of the operation: it ends, says why, and a delete takes all away."""
    resource_id, operation_id = SCENARIOS[action].begin(world)
    begun: list[bool] = []

    def spoil(_work: Work | None, passed: str) -> bool:
        if passed == f"before {step}" and not begun:
            owner_id = (resource_id if whose == "backup"
                        else instance_of(world, resource_id, whose))
            begun.append(owner_id is not None and spoiled(world, kind, owner_id))
        return False

    worker = Worker(world.plane, spoil)
    worker.run(operation_id, world.manager.sweep)
    row = world.finish(operation_id)
    worker.end()
    assert begun
    _check_end(world, row, resource_id)
    if kind == "server gone" and "did not answer" in str(row.error):
        pytest.fail(f"the cause is not named: {row.error}")
    _take_away(world, resource_id)
    if begun == [False]:
        assert row.status == operations.SUCCEEDED, row.error
        pytest.skip("there was nothing yet, or nothing more, to be broken")


class Jobs:
    """What the cloud does later: remembers it, and leaves one job undone for ever.

    :param stuck: name, and how many of that name come before it
    """

    def __init__(self, stuck: tuple[str, int] | None) -> None:
        self._stuck = stuck
        self.seen: list[tuple[str, int]] = []
        #: how many there were when the operation began to take back what it did
        self.turn = 0
        self._counts: Counter[str] = Counter()

    def look(self, name: str, _resource_id: str) -> bool:
        job = (name, self._counts[name])
        self._counts[name] += 1
        self.seen.append(job)
        return job == self._stuck


def _run(world: World, action: str, fails: bool, stuck: tuple[str, int] | None = None,
         ) -> tuple[Jobs, str, Operation]:
    """Run an action to its end; return what was to be done, its resource and operation.

    :param fails: its last step fails
    """
    jobs = Jobs(stuck)
    resource_id, operation_id = SCENARIOS[action].begin(world)
    scheduler = world.plane.minicloud.scheduler
    before = scheduler._stuck
    scheduler._stuck = jobs.look
    try:
        Worker(world.plane, failing(action, fails, jobs)).run(operation_id, world.manager.sweep)
        return jobs, resource_id, world.finish(operation_id)
    finally:
        scheduler._stuck = before


def _jobs(world: World, action: str, fails: bool) -> list[tuple[str, int]]:
    """Return what the cloud is to do later: all of it, or one of it."""
    found = world.jobs.get((action, fails))
    if found is None:
        jobs, *_ = _run(world, action, fails)
        found = world.jobs[action, fails] = jobs.seen[jobs.turn:]
        world.tidy()
    # there may be nothing to take back
    assert found or fails, f"{action} belongs to _WITHOUT_JOBS"
    if _ALL or not found:
        return found
    return [random.Random(f"{_SEED}{action}{fails}").choice(found)]


def _check_stuck(world: World, action: str, fails: bool, job: tuple[str, int]) -> None:
    """Check what becomes of an operation of which one job is never done."""
    _, resource_id, row = _run(world, action, fails, job)
    _check_end(world, row, resource_id)
    with world.plane.db.reader() as session:
        left = [str(one.error) for one in operations.left(session, row.id)
                if one.error != _FINAL]
    words = _WORDS[job[0].partition(".")[0]]
    if row.status == operations.FAILED:
        for text in left if fails else [str(row.error), *left]:
            assert words.search(text), text
    elif action == payloads.INSTANCE_EJECT and world.shown("instances", resource_id) == "ERROR":
        # what keeps the lost source from being put aside keeps no replica from following
        assert words.search(world.plane.show(resource_id)["fault"]["message"])
    elif not left:
        assert SCENARIOS[action].check(world, resource_id, row.id)
    _take_away(world, resource_id)


def _working() -> list[tuple[str, bool]]:
    """Return ways through run-books that may have the cloud do something later."""
    return [(action, fails) for action, book in runbooks().items() for fails in (False, True)
            if (action, fails) not in WITHOUT_CALLS and action not in _WITHOUT_JOBS
            and SCENARIOS[action].kind in ("instances", "backups")
            and (not fails or any(step.undo for step in book.steps))]


@pytest.mark.parametrize(("action", "fails"), chosen(_working(), 0.07))
def test_what_the_cloud_never_does_is_not_waited_for(
        world: World, action: str, fails: bool) -> None:
    """It accepted it, and the thing stays as it is then: ``creating``, ``RESIZE``."""
    wrong = []
    for job in _jobs(world, action, fails):
        try:
            _check_stuck(world, action, fails, job)
        except AssertionError as err:
            wrong.append(f"{job}: {err}")
            with contextlib.suppress(AssertionError):
                world.abandon()
                world.tidy()
    assert not wrong, "\n".join(wrong)
