"""Faults of one instance: what its agent survives, and what its status says.

The tests share one instance of each engine and each leaves it well.  TROVE_GUESTFAULTS is how
often the faults that strike at random moments are repeated; with more than one, all tests run
for all engines.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pathlib
import random
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from tests.integration.guestagent.conftest import Broker, ControlPlane, wait_for
from tests.integration.guestagent.faultengines import ENGINES, PASSWORD, Engine
from tests.integration.guestagent.faultworld import PROMISED, Cutter, World
from tests.integration.guestagent.store import Stored
from trove_ng.common.errors import (
    Conflict,
    GuestError,
    GuestTimeout,
    TroveError,
    UnsavedChanges,
)
from trove_ng.guestagent.health import FULL, NEARLY_FULL
from trove_ng.rpc import messages as m

pytestmark = [pytest.mark.integration,
              pytest.mark.skipif(os.getuid() != 0, reason="volumes need root")]

TIMES = int(os.environ.get("TROVE_GUESTFAULTS", "1"))
MB = 1024 ** 2
ROWS = 4000
INTERRUPTED = "The guest agent ended while it worked on this step."

#: each engine in every run
ALWAYS = pytest.mark.engines(those=ENGINES)
#: no matter of the engine
ONCE = pytest.mark.engines(those=ENGINES[:1])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its engines."""
    if "engine" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("engines")
        those = marked.kwargs["those"] if marked else ENGINES if TIMES > 1 else ENGINES[:1]
        metafunc.parametrize("engine", those, indirect=True, scope="module",
                             ids=[one.name for one in those])


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> type[Engine]:
    """The engine."""
    found: type[Engine] = request.param
    return found


@pytest.fixture(scope="module")
def bare(broker: Broker, engine: type[Engine]) -> Iterator[World]:
    """An agent that waits for prepare."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="tg-"))
    home.chmod(0o755)
    (home / "control").mkdir()
    control = ControlPlane(broker.url, home / "control", call_timeout=5)
    made = World(home, broker.url, control, engine)
    try:
        yield made
        made.close()
    finally:
        # its threads keep the process
        control.close()
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def instance(bare: World) -> World:
    """A prepared instance; an agent that is killed on the way there fails cleanly first."""
    world, maker = bare, bare.engine.maker
    world.prepare("cut-off")
    wait_for(lambda: world.data.is_dir() and (not maker or maker in world.children()), 30)
    world.kill_agent()
    was_cut_off(world, world.ended("cut-off"))
    for number in range(TIMES - 1):
        # as the control plane makes another server
        world.replace_server()
        prepare_and_kill(world, f"cut-off-{number}")
    world.replace_server()
    world.prepare("prepare")
    succeeds(world, "prepare")
    world.is_well()
    world.engine.begin()
    world.engine.write(ROWS)
    return world


def prepare_and_kill(world: World, name: str, restore: m.RestoreSpec | None = None) -> None:
    """Kill the agent at some moment of a prepare."""
    world.prepare(name, restore)
    # killed before, it would never hear of it
    wait_for(lambda: any(one.operation_id == name for one in world.control.steps))
    time.sleep(random.uniform(0.2, 5))
    world.kill_agent()
    report = world.ended(name)
    if report.state != "SUCCEEDED":
        was_cut_off(world, report)


def was_cut_off(world: World, report: m.StepReport) -> None:
    """Expect the report of a prepare that the agent's end cut off."""
    assert (report.state, report.error) == ("FAILED", INTERRUPTED)
    world.shows("FAILED", "Preparing the instance was cut off")
    assert world.children() == []


def succeeds(world: World, operation: str) -> m.StepReport:
    """Wait for the end of a step that must be a good one."""
    report = world.ended(operation)
    assert report.state == "SUCCEEDED", report.error
    return report


@pytest.fixture
def world(instance: World) -> Iterator[World]:
    """The instance, well before and after; each test waits for that at its end."""
    before = instance.engine.count()
    instance.engine.settle()
    yield instance
    instance.is_well()
    assert instance.engine.count() >= before
    assert instance.children() == []


# ---- the database ------------------------------------------------------------------


@ALWAYS
def test_a_killed_database_comes_back_with_its_data(world: World) -> None:
    old = world.kill()
    wait_for(lambda: world.pid() not in (0, old), 30)
    world.is_well()


def test_a_database_that_ends_again_and_again_is_shown_so_until_it_stays_up(
        world: World) -> None:
    begun = len(world.beats)
    for _ in range(3):
        old = world.kill()
        wait_for(lambda old=old: world.pid() not in (0, old) and world.engine.lets_in(),
                 PROMISED)
        world.beats_on(2)
    world.shows("CRASHED", "ends again and again")
    world.is_well()
    told = world.beats[begun:]
    first = next(number for number, beat in enumerate(told)
                 if "again and again" in beat.description)
    shown = [beat.status for beat in told[first:]]
    # it does not change to and fro
    assert set(shown) == {"CRASHED", "HEALTHY"}
    assert "CRASHED" not in shown[shown.index("HEALTHY"):]


def test_a_database_that_refuses_its_configuration_says_so_and_starts_when_it_is_right(
        world: World) -> None:
    with world.engine.misconfigured():
        world.kill()
        beat = world.shows("CRASHED", "its configuration is refused.")
        assert "secret-of" not in beat.description
        with pytest.raises(GuestError, match="its configuration is refused"):
            restart(world, "refused")
    world.is_well()


def test_a_database_with_damaged_files_says_so_and_starts_when_they_are_right(
        world: World) -> None:
    world.control.guest.stop_db(m.StepRequest(operation_id="damage", step="stop"))
    world.shows("SHUTDOWN")
    path = world.engine.vital()
    whole = path.read_bytes()
    path.write_bytes(bytes(65536) + whole[65536:])
    with pytest.raises(GuestError, match="the files of the database are damaged"):
        restart(world, "damaged")
    world.shows("CRASHED", "the files of the database are damaged.")
    path.write_bytes(whole)
    world.is_well()


def test_a_hung_database_is_shown_and_holds_nothing_up(world: World) -> None:
    world.kill(number=signal.SIGSTOP)
    try:
        world.shows("BLOCKED", "does not answer")
        world.beats_on(3)
        assert world.control.guest.rpc_ping()
    finally:
        world.kill(number=signal.SIGCONT)
    world.is_well()
    old = world.kill(number=signal.SIGSTOP)
    world.shows("BLOCKED", "does not answer")
    restart(world, "hung")
    assert world.pid() != old


def restart(world: World, operation: str) -> None:
    ask(world.control.guest.restart, m.StepRequest(operation_id=operation, step="restart"))


def ask(call: Callable[[Any], None], request: m.StepRequest) -> None:
    """Ask for a step, as run-books do: again while the agent starts the database, or works."""
    def asked() -> bool:
        try:
            call(request)
        except (Conflict, GuestTimeout):
            return False
        return True

    wait_for(asked, PROMISED)


# ---- disks -------------------------------------------------------------------------


def free(world: World) -> int:
    info = os.statvfs(world.volume.mount_point)
    return info.f_bavail * info.f_frsize


def fill(world: World, left: int) -> pathlib.Path:
    """Fill the volume up to some bytes."""
    ballast, most = world.data.parent / "ballast", 8 * MB
    with ballast.open("ab") as out:
        while (missing := free(world) - left) > 0 and most > 4096:
            try:
                os.posix_fallocate(out.fileno(), out.seek(0, os.SEEK_END), min(missing, most))
            except OSError as err:
                assert err.errno == errno.ENOSPC
                # some that is free is kept for the file system itself
                most //= 2
            os.fsync(out.fileno())
            if missing < MB:
                break
    return ballast


@ALWAYS
def test_a_full_volume_is_told_and_room_heals_it(world: World) -> None:
    ballast = fill(world, 12 * MB)
    world.shows("HEALTHY", NEARLY_FULL)
    refused(world)
    told, runs = world.shows("BLOCKED|CRASHED", "is full."), world.pid()
    world.beats_on()
    assert world.control.guest.rpc_ping()
    # of use now, where it needs no room on the volume
    world.backup("of-full")
    report = world.ended("of-full")
    assert report.state == "SUCCEEDED" or world.engine.backup_needs_room and re.search(
        "full|too small|cannot be reached", report.error), report
    # it does no harm to what still answers
    assert told.status == "CRASHED" or world.pid() == runs
    ballast.unlink()
    world.is_well()


def refused(world: World) -> None:
    """Write until the server refuses it."""
    def write() -> bool:
        try:
            world.engine.write(1000)
        except world.engine.refusal:
            return True
        return False

    wait_for(write, PROMISED)


@ALWAYS
def test_a_database_without_room_serves_again_when_the_volume_grows(world: World) -> None:
    engine = world.engine
    if engine.needs_room:
        # while it runs it has a temporary file, whose room is enough for a start
        world.control.guest.stop_db(m.StepRequest(operation_id="no-room", step="stop"))
        rows, ballast = 0, fill(world, 0)
        with pytest.raises(GuestError, match="the disk is full"):
            restart(world, "no-room")
    else:
        ballast = fill(world, 8 * MB)
        refused(world)
        rows, ballast = engine.count(), fill(world, 0)
        with pytest.raises(UnsavedChanges, match="the disk is full"):
            restart(world, "no-room")
    status = "CRASHED" if engine.needs_room else "BLOCKED"
    world.shows(status, FULL)
    world.beats_on()
    world.kill_agent()
    world.shows(status, FULL)
    # as the run-book of a resize does: some file systems grow only while nothing uses them
    stop = functools.partial(ask, world.control.guest.stop_db, m.StepRequest(
        operation_id="grow", step="stop"))
    with contextlib.suppress(UnsavedChanges):
        stop()
    world.disk.extend(640 * MB)
    assert world.control.guest.resize_fs(world.volume).free > 200 * MB
    stop()
    ask(world.control.guest.start_db_with_conf_changes,
        m.ResizeRequest(operation_id="grow", step="start", memory_mb=256))
    world.is_well()
    assert engine.count() >= rows
    ballast.unlink()


@ONCE
def test_a_full_root_disk_stops_no_heartbeat_and_refuses_what_cannot_be_remembered(
        world: World) -> None:
    ballast = world.home / "state" / "ballast"
    with ballast.open("wb", buffering=0) as out, pytest.raises(OSError, match="No space left"):
        while True:
            out.write(bytes(4096))
    try:
        world.beats_on()
        world.backup("no-room")
        assert world.ended("no-room").error == "A disk of the database server is full."
        world.kill_agent()
        world.beats_on()
        world.is_well()
        assert world.engine.lets_in()
    finally:
        ballast.unlink()
    world.backup("room")
    succeeds(world, "room")


# ---- the agent ---------------------------------------------------------------------


@ALWAYS
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_ends_during_a_backup_leaves_nothing_and_remembers(
        world: World, number: signal.Signals) -> None:
    name, program = f"end-{number}", world.engine.backup_program
    way = Cutter(world.store().config.port, [None, *[MB // 2] * 9], stall=True)
    try:
        world.backup(name, world.grant(f"{name}/", way.url))
        wait_for(lambda: way.cut, 30)
        assert not program or program in world.children()
        world.kill_agent(number)
    finally:
        way.close()
    assert world.children() == []
    assert list((world.home / "state" / "scratch").iterdir()) == []
    report = world.ended(name)
    assert (report.state, report.error) == ("FAILED", INTERRUPTED)
    world.engine.write()
    # asked for again, it is made again under the same names
    world.control.steps.clear()
    world.backup(name)
    done = wait_for(lambda: succeeded(world), 60)
    kept = stored_bytes(world, name)
    world.kill_agent(number)
    world.control.steps.clear()
    world.backup(name)
    again = wait_for(lambda: succeeded(world), 60)
    assert (again.result, stored_bytes(world, name)) == (done.result, kept)


def succeeded(world: World) -> m.StepReport | None:
    return next((one for one in world.control.steps if one.state == "SUCCEEDED"), None)


def stored_bytes(world: World, name: str) -> list[tuple[str, int]]:
    """Return what is stored of a backup, and when that was."""
    swift = world.store().app.swift._store
    return [(one.name, swift.path(one).stat().st_mtime_ns)
            for one in swift.objects("AUTH_t", "c", f"{name}/")]


def test_an_agent_that_is_killed_while_it_stops_or_starts_the_database_does_it_in_the_end(
        world: World) -> None:
    for number in range(TIMES):
        for name in ("stop_db", "restart"):
            call = getattr(world.control.guest, name)
            request = m.StepRequest(operation_id=f"kill-{number}", step=name)
            if not killed_meanwhile(world, functools.partial(call, request)):
                # the agent was busy when it was asked again
                ask(call, request)
            begun = world.pid()
            assert bool(begun) is (name == "restart")
            ask(call, request)
            assert world.pid() == begun


def test_an_agent_that_is_killed_while_it_changes_a_password_leaves_one_of_the_two(
        world: World) -> None:
    engine = world.engine
    for number in range(TIMES):
        password = f"new-{number}"
        change = functools.partial(engine.change_password, world.control.guest, password)
        killed_meanwhile(world, change)
        world.shows("HEALTHY")
        seen = [one for one in (PASSWORD, password) if engine.lets_in(one)]
        assert len(seen) == 1
        change()
        assert engine.lets_in(password)
        engine.change_password(world.control.guest, PASSWORD)


def test_an_agent_that_is_killed_while_it_changes_settings_does_it_in_the_end(
        world: World) -> None:
    name, value, shown = world.engine.setting
    before = world.engine.in_force()
    for number in range(TIMES):
        for what, seen in (({name: value}, shown), ({}, before)):
            call = functools.partial(world.control.guest.update_overrides, m.OverridesRequest(
                operation_id=f"settings-{number}-{len(what)}", step="overrides",
                values={**world.engine.wanted().get("overrides", {}), **what}))
            killed_meanwhile(world, call)
            ask(lambda _none, call=call: call(), None)
            assert world.engine.in_force() == seen
            assert not call().restart_required
        world.kill()
        world.is_well()
        assert world.engine.in_force() == before


def killed_meanwhile(world: World, asked: Callable[[], Any]) -> list[bool]:
    """Kill the agent at some moment of a call; return whether the call was answered."""
    answered: list[bool] = []

    def call() -> None:
        try:
            asked()
        except TroveError:
            return
        answered.append(True)

    asking = threading.Thread(target=call)
    asking.start()
    asking.join(random.uniform(0, 0.3))
    world.kill_agent()
    asking.join(60)
    return answered


# ---- the object store --------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_an_upload_that_is_cut_off_goes_on(world: World, part: float) -> None:
    # each segment but the last is 1 MiB; the second one breaks twice
    after = int(part * MB)
    way = Cutter(world.store().config.port, [None, after, after])
    try:
        name = f"cut-{part}"
        world.backup(name, world.grant(f"{name}/", way.url))
        report = world.ended(name)
    finally:
        way.close()
    assert (report.state, report.error, way.cut) == ("SUCCEEDED", "", 2)
    stored = msgspec.convert(report.result, m.StoredBackup)
    assert world.objects(f"{name}/") == [one.name for one in stored.segments]


@pytest.mark.parametrize(("rule", "state", "why"), [
    ({"kind": "error", "status": 503, "times": 2}, "SUCCEEDED", ""),
    ({"kind": "reply_lost", "times": 1}, "SUCCEEDED", ""),
    ({"kind": "latency", "seconds": 4, "times": 1}, "SUCCEEDED", ""),
    ({"kind": "error", "status": 500}, "FAILED", "in 3 attempts: it answered 500"),
    ({"kind": "error", "status": 401}, "FAILED", "401 to .*expired"),
    ({"kind": "error", "status": 413}, "FAILED", "413 to .*quota"),
    ({"kind": "error", "status": 507}, "FAILED", "507 to .*full")])
def test_a_store_that_fails_for_a_while_is_waited_for_and_others_are_named(
        world: World, rule: dict[str, Any], state: str, why: str) -> None:
    world.break_store(method="PUT", **rule)
    try:
        name = "-".join(str(value) for value in rule.values())
        world.backup(name)
        report = world.ended(name)
    finally:
        world.mend_store()
    assert report.state == state, report.error
    assert re.search(why, report.error)
    assert "temp_url" not in report.error
    world.engine.write()


def test_a_store_that_hangs_holds_neither_locks_nor_the_agent(world: World) -> None:
    way = Cutter(world.store().config.port, [None, *[MB // 2] * 9], stall=True)
    try:
        world.backup("stall", world.grant("stall/", way.url))
        wait_for(lambda: way.cut, 30)
        world.engine.write()
        assert world.control.guest.rpc_ping()
        report = world.ended("stall")
    finally:
        way.close()
    assert report.state == "FAILED"
    assert "in 3 attempts: it does not answer in time" in report.error


def test_leave_that_has_expired_is_named(world: World) -> None:
    world.backup("expired", world.grant("expired/", lifetime=-1))
    report = world.ended("expired")
    assert report.state == "FAILED"
    assert "expired" in report.error
    assert world.objects("expired/") == []


def test_a_large_backup_does_not_fill_the_agents_memory(world: World) -> None:
    world.engine.write(40000)
    before = world.forget_peak()
    world.backup("large", segment_size=64 * MB)
    report = world.ended("large", 120)
    assert report.state == "SUCCEEDED"
    assert report.result["size"] > 40 * MB
    assert world.peak_mb() - before < 25


# ---- the clock ---------------------------------------------------------------------


@ONCE
@pytest.mark.parametrize("offset", [-240, 240])
def test_a_clock_that_is_minutes_off_is_no_fault(world: World, offset: int) -> None:
    (world.home / "clock").write_text(str(offset))
    try:
        world.beats_on(5)
        assert world.control.guest.rpc_ping()
        world.backup(f"skew{offset}")
        assert world.ended(f"skew{offset}").state == "SUCCEEDED"
        assert {beat.status for beat in world.beats[-5:]} == {"HEALTHY"}
    finally:
        (world.home / "clock").unlink()


@ONCE
@pytest.mark.parametrize("offset", [-3600, -600, 600, 3600] if TIMES > 1 else [-600, 3600])
def test_a_clock_beyond_the_window_is_refused_and_fails_nothing(
        world: World, offset: int) -> None:
    (world.home / "clock").write_text(str(offset))
    dropped = world.control.dropped()
    try:
        wait_for(lambda: world.control.dropped() >= dropped + 3)
        begun = len(world.beats)
        wait_for(lambda: world.control.dropped() >= dropped + 6)
        assert len(world.beats) == begun
    finally:
        (world.home / "clock").unlink()
    last = world.beats[-1].sequence
    world.beats_on()
    # what was sent before the jump does not outrank what comes after it
    assert world.beats[-1].sequence > last
    world.is_well()
    assert world.control.guest.rpc_ping()


# ---- another server ----------------------------------------------------------------


def test_a_damaged_backup_is_refused_before_data_are_touched_and_a_whole_one_follows(
        world: World) -> None:
    world.backup("source")
    report = succeeds(world, "source")
    stored, rows = msgspec.convert(report.result, m.StoredBackup), world.engine.count()
    spec = m.RestoreSpec(backup_id="source", chain=[stored], grants=[world.grant("source/")])
    objects = Stored(world.store().app.swift, "source/")
    for number, why in enumerate(damages(stored, objects)):
        world.replace_server()
        name = f"damaged-{number}"
        world.prepare(name, spec)
        report = world.ended(name)
        objects.mend()
        assert (report.state, bool(re.search(why, report.error))) == ("FAILED", True), report
        assert msgspec.convert(report.result[m.DAMAGED], m.Damage).checksum in (
            "", stored.checksum)
        world.shows("FAILED", "Preparing the instance failed.")
        assert not world.data.exists() or list(world.data.iterdir()) == []
        assert world.pid() == 0
    for number in range(TIMES):
        world.replace_server()
        prepare_and_kill(world, f"restore-{number}", spec)
    world.replace_server()
    world.prepare("restored", spec)
    succeeds(world, "restored")
    world.is_well()
    assert world.engine.count() == rows


def damages(stored: m.StoredBackup, objects: Stored) -> Iterator[str]:
    """Damage a backup in one way after the other; give what is to be told of it."""
    names = [one.name for one in stored.segments]
    for name in random.choices(names, k=TIMES):
        objects.flip(name)
        yield f"checksum of {name} is wrong"
    for name in names[-1:] if TIMES == 1 else (names[0], names[-1]):
        objects.drop(name)
        yield f"damaged: {name} is missing"
