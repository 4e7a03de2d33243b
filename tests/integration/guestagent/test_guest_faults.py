"""Faults of one instance: what its agent survives, and what its status says.

The tests share one instance and each leaves it well.  TROVE_GUESTFAULTS is how often the
faults that strike at random moments are repeated.
"""

from __future__ import annotations

import functools
import os
import pathlib
import random
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pymysql
import pytest

from tests.integration.guestagent.conftest import Broker, ControlPlane, wait_for
from tests.integration.guestagent.faultworld import PROMISED, Cutter, World
from trove_ng.common.errors import Conflict, GuestError, GuestTimeout, TroveError
from trove_ng.common.secret import Secret
from trove_ng.guestagent.health import FULL, NEARLY_FULL
from trove_ng.rpc import messages as m

pytestmark = [pytest.mark.integration,
              pytest.mark.skipif(os.getuid() != 0, reason="volumes need root")]

TIMES = int(os.environ.get("TROVE_GUESTFAULTS", "1"))
MB = 1024 ** 2


@pytest.fixture(scope="module")
def bare(broker: Broker) -> Iterator[World]:
    """An agent that waits for prepare."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="tg-"))
    home.chmod(0o755)
    (home / "control").mkdir()
    control = ControlPlane(broker.url, home / "control", call_timeout=5)
    made = World(home, broker.url, control)
    yield made
    made.close()
    control.close()
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def instance(bare: World) -> World:
    """A prepared instance; an agent that is killed on the way there fails cleanly first."""
    world = bare
    world.prepare("cut-off")
    wait_for(lambda: world.data.is_dir() and "mariadbd" in world.children(), 30)
    world.kill_agent()
    report = world.ended("cut-off")
    assert (report.state, report.error) == (
        "FAILED", "The guest agent ended while it worked on this step.")
    world.shows("FAILED", "Preparing the instance was cut off")
    assert world.children() == []
    # the control plane would make another server
    shutil.rmtree(world.data)
    world.prepare("prepare")
    assert world.ended("prepare").state == "SUCCEEDED"
    world.is_well()
    world.query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)")
    world.query("INSERT INTO t (b) SELECT RANDOM_BYTES(1000) FROM seq_1_to_4000")
    return world


@pytest.fixture
def world(instance: World) -> Iterator[World]:
    """The instance, well before and after; each test waits for that at its end."""
    before = instance.query("SELECT COUNT(*) FROM t")
    yield instance
    instance.is_well()
    assert instance.query("SELECT COUNT(*) FROM t") >= before
    assert instance.children() == []


# ---- the database ------------------------------------------------------------------


def test_a_killed_database_comes_back_with_its_data(world: World) -> None:
    old = world.kill("mariadb")
    wait_for(lambda: world.pid("mariadb") not in (0, old), 30)
    world.is_well()


def test_a_database_that_ends_again_and_again_is_shown_so_until_it_stays_up(
        world: World) -> None:
    begun = len(world.beats)
    for _ in range(3):
        old = world.kill("mariadb")
        wait_for(lambda old=old: world.pid("mariadb") not in (0, old), 30)
        wait_for(lambda: world.beats[-1].status in ("HEALTHY", "CRASHED"), 30)
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
    wrong = world.home / "conf.d" / "99-wrong.cnf"
    wrong.write_text("[mysqld]\nno_such_setting = secret-of-the-customer\n")
    world.kill("mariadb")
    beat = world.shows("CRASHED", "its configuration is refused.")
    assert "secret-of" not in beat.description
    with pytest.raises(GuestError, match="its configuration is refused"):
        restart(world, "refused")
    wrong.unlink()
    world.is_well()


def test_a_database_with_damaged_files_says_so_and_starts_when_they_are_right(
        world: World) -> None:
    world.control.guest.stop_db(m.StepRequest(operation_id="damage", step="stop"))
    world.shows("SHUTDOWN")
    path = world.data / "ibdata1"
    whole = path.read_bytes()
    path.write_bytes(bytes(65536) + whole[65536:])
    with pytest.raises(GuestError, match="the files of the database are damaged"):
        restart(world, "damaged")
    world.shows("CRASHED", "the files of the database are damaged.")
    path.write_bytes(whole)
    world.is_well()


def test_a_hung_database_is_shown_and_holds_nothing_up(world: World) -> None:
    world.kill("mariadb", signal.SIGSTOP)
    try:
        world.shows("BLOCKED", "does not answer")
        world.beats_on(3)
        assert world.control.guest.rpc_ping()
    finally:
        world.kill("mariadb", signal.SIGCONT)
    world.is_well()
    old = world.kill("mariadb", signal.SIGSTOP)
    world.shows("BLOCKED", "does not answer")
    restart(world, "hung")
    assert world.pid("mariadb") != old


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
    ballast = world.data.parent / "ballast"
    with ballast.open("ab") as out:
        while (missing := free(world) - left) > 0:
            os.posix_fallocate(out.fileno(), out.seek(0, os.SEEK_END), min(missing, 8 * MB))
            os.fsync(out.fileno())
            if missing < MB:
                break
    return ballast


def test_a_full_volume_is_told_and_room_heals_it(world: World) -> None:
    ballast = fill(world, 12 * MB)
    world.shows("HEALTHY", NEARLY_FULL)
    with pytest.raises(pymysql.err.MySQLError):
        for _ in range(100):
            world.query("INSERT INTO t (b) SELECT RANDOM_BYTES(1024) FROM seq_1_to_1000")
    world.shows("BLOCKED", FULL)
    world.beats_on()
    assert world.control.guest.rpc_ping()
    # a backup needs no room on the volume, and is of use now
    world.backup("of-full")
    assert world.ended("of-full").state == "SUCCEEDED"
    ballast.unlink()
    world.is_well()


def test_a_database_that_ended_for_want_of_room_starts_when_the_volume_grows(
        world: World) -> None:
    # while it runs it has a temporary file, whose room is enough for a start
    world.control.guest.stop_db(m.StepRequest(operation_id="no-room", step="stop"))
    ballast = fill(world, 0)
    with pytest.raises(GuestError, match="the disk is full"):
        restart(world, "no-room")
    world.shows("CRASHED", FULL)
    world.beats_on()
    world.kill_agent()
    world.shows("CRASHED", FULL)
    # as the run-book of a resize does: some file systems grow only while nothing uses them
    ask(world.control.guest.stop_db, m.StepRequest(operation_id="grow", step="stop"))
    world.disk.extend(640 * MB)
    assert world.control.guest.resize_fs(world.volume).free > 200 * MB
    ask(world.control.guest.start_db_with_conf_changes,
        m.ResizeRequest(operation_id="grow", step="start", memory_mb=256))
    world.is_well()
    ballast.unlink()


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
        assert world.control.guest.list_databases(m.PageRequest()).databases
    finally:
        ballast.unlink()
    world.backup("room")
    assert world.ended("room").state == "SUCCEEDED"


# ---- the agent ---------------------------------------------------------------------


def test_an_agent_that_is_killed_during_a_backup_leaves_nothing(world: World) -> None:
    world.break_store(kind="latency", method="PUT", seconds=1.5, times=2)
    world.backup("killed")
    wait_for(lambda: "mariadb-backup" in world.children(), 20)
    world.kill_agent()
    assert world.children() == []
    assert list((world.home / "state" / "scratch").iterdir()) == []
    assert "ended while it worked" in world.ended("killed").error
    world.query("INSERT INTO t (b) VALUES ('not locked')")
    world.mend_store()
    # asked for again, it is made again under the same names
    world.control.steps.clear()
    world.backup("killed")
    wait_for(lambda: [one for one in world.control.steps if one.state == "SUCCEEDED"], 60)


def test_an_agent_that_is_killed_while_it_stops_or_starts_the_database_does_it_in_the_end(
        world: World) -> None:
    for number in range(TIMES):
        for name in ("stop_db", "restart"):
            call = getattr(world.control.guest, name)
            request = m.StepRequest(operation_id=f"kill-{number}", step=name)
            if not killed_meanwhile(world, functools.partial(call, request)):
                # the agent was busy when it was asked again
                ask(call, request)
            begun = world.pid("mariadb")
            assert bool(begun) is (name == "restart")
            ask(call, request)
            assert world.pid("mariadb") == begun


def test_an_agent_that_is_killed_while_it_changes_a_password_leaves_one_of_the_two(
        world: World) -> None:
    for number in range(TIMES):
        password = f"new-{number}"

        def change(password: str = password) -> None:
            world.control.guest.change_passwords([m.UserSpec(
                name="app", password=Secret(password))])

        killed_meanwhile(world, change)
        seen = [one for one in ("pw", password) if can_log_in(world, one)]
        assert len(seen) == 1
        change()
        assert can_log_in(world, password)
        change("pw")


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


def can_log_in(world: World, password: str) -> bool:
    try:
        pymysql.connect(host="127.0.0.1", port=world.port, user="app",
                        password=password).close()
    except pymysql.err.OperationalError:
        return False
    return True


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
    world.query("INSERT INTO t (b) VALUES ('not locked')")


def test_a_store_that_hangs_holds_neither_locks_nor_the_agent(world: World) -> None:
    way = Cutter(world.store().config.port, [None, *[MB // 2] * 9], stall=True)
    try:
        world.backup("stall", world.grant("stall/", way.url))
        wait_for(lambda: way.cut, 30)
        world.query("INSERT INTO t (b) VALUES ('not locked')")
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
    world.query("CREATE TABLE large (b BLOB)")
    world.query("INSERT INTO large SELECT RANDOM_BYTES(1024) FROM seq_1_to_40000")
    before = world.forget_peak()
    try:
        world.backup("large", segment_size=64 * MB)
        report = world.ended("large", 120)
    finally:
        world.query("DROP TABLE large")
    assert report.state == "SUCCEEDED"
    assert report.result["size"] > 40 * MB
    assert world.peak_mb() - before < 25


# ---- the clock ---------------------------------------------------------------------


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
