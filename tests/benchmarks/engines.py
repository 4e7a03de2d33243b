"""Backup, restore, replicas and an idle agent, with real databases of a size.

The program that the agent runs is also run on its own, in the same server and within its
limits: what it streams is compressed by ``zstd`` at the same level, with one thread, into a local
file, and unpacked from there to the new volume of another server, as a restore does.  Each is done
once before anything counts, then in turns with the other, and begins when nothing waits to be
written to disks; what is told are medians.  What a database needs to begin to work, though it has
no data, is no part of a restore.  ``TROVE_BENCH_GB`` says how large the databases are (2),
``TROVE_BENCH_ROUNDS`` how often each is measured (3).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymysql
import requests

from tests.benchmarks.output import emit
from tests.benchmarks.stage import Stage
from tests.integration.processes import root_of

_GB = float(os.environ.get("TROVE_BENCH_GB", "2"))
_ROUNDS = int(os.environ.get("TROVE_BENCH_ROUNDS", "3"))
_ROW, _BATCH = 1024, 50_000
#: least share of the throughput of the programs alone, most MB of an agent's memory while it
#: streams, most percent of a processor while nothing happens
_SHARE, _MEMORY, _CPU = 0.85, 100, 0.5
#: seconds that an agent is watched while nothing happens
_IDLE = 60
_PASSWORD = "bench-Pw1"
#: where the pipelines keep what they make, in the server
_FILE, _FOLDER = "/var/tmp/bench.zst", "/var/tmp/bench"
#: enters control groups, whose files are named up to ``--``, and becomes the program that follows
_JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"'
_TEXT = "MD5(RAND()), " * (_ROW // 32)


@dataclasses.dataclass(frozen=True)
class Engine:
    """One engine.

    :param connect: logs in as the owner of the database
    :param insert: adds rows, the first of which has a number
    :param dump: returns the program that streams a backup, given the root of the server
    :param load: commands that make a data directory from that stream, and from its files, given
        its path
    :param install: tells what makes one of a database without data, and who runs that, given its
        path
    :param unpacked: that directory, on the volume
    :param data: of the server, on the same volume
    """

    connect: Callable[[str], Any]
    insert: str
    dump: Callable[[Path], list[str]]
    load: tuple[str, ...]
    install: Callable[[str], tuple[str, list[str]]]
    unpacked: str
    data: str


def _mariabackup(root: Path) -> list[str]:
    account, = (root / "var/lib/mysql/.trove").glob("*.cnf")
    return ["mariabackup", f"--defaults-extra-file=/{account.relative_to(root)}", "--backup",
            "--stream=mbstream", f"--target-dir={_FOLDER}", "--datadir=/var/lib/mysql/data"]


def _pg_basebackup(_root: Path) -> list[str]:
    return ["pg_basebackup", "--host", "/run/postgresql", "--username", "os_admin",
            "--no-password", "--pgdata=-", "--format=tar", "--wal-method=fetch",
            "--checkpoint=fast"]


def _install_db(folder: str) -> tuple[str, list[str]]:
    return "mysql", ["mariadb-install-db", "--no-defaults", f"--datadir={folder}",
                     "--skip-test-db"]


def _initdb(folder: str) -> tuple[str, list[str]]:
    *_, program = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return "postgres", [str(program), "-D", folder]


ENGINES = {
    "mariadb": Engine(
        lambda address: pymysql.connect(host=address, user="bench", password=_PASSWORD,
                                        database="bench", autocommit=True),
        f"INSERT INTO t SELECT seq, CONCAT({_TEXT.rstrip(', ')}) FROM seq_%d_to_%d",
        _mariabackup, ("mbstream -x -C %s",
                       "mariabackup --no-defaults --prepare --target-dir=%s"), _install_db,
        "/var/lib/mysql/bench", "var/lib/mysql/data"),
    "postgresql": Engine(
        lambda address: psycopg.connect(host=address, user="bench", password=_PASSWORD,
                                        dbname="bench", autocommit=True),
        "INSERT INTO t SELECT i, (SELECT string_agg(md5(random()::text || i || n), '') FROM "
        f"generate_series(1, {_ROW // 32}) n) FROM generate_series(%d, %d) i",
        _pg_basebackup, ("tar -x -C %s",), _initdb,
        "/var/lib/postgresql/bench", "var/lib/postgresql"),
}


def measure(stage: Stage) -> None:
    """Measure each engine."""
    for name, engine in ENGINES.items():
        _Bench(stage, name, engine).run()


def _groups(pid: int) -> list[str]:
    """Return the files of the control groups that limit a process, as far as there are any."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        file = Path("/sys/fs/cgroup", controllers.partition(",")[0], path[1:], "cgroup.procs")
        if path != "/" and file.exists():
            found.append(str(file))
    return found


class _Bench:
    """One engine's database, and what is done with it."""

    def __init__(self, stage: Stage, name: str, engine: Engine) -> None:
        self._stage, self._name, self._engine = stage, name, engine
        self._size = max(2, int(3 * _GB) + 1)

    def run(self) -> None:
        """Do all of it; the instances are deleted."""
        source = self._create("bench", databases=[{"name": "bench"}], users=[{
            "name": "bench", "password": _PASSWORD, "databases": [{"name": "bench"}]}],
            datastore={"type": self._name})
        self._idle(source)
        size = self._fill(source) / 1e6
        backup = self._backups(source, size)
        self._restores(source, backup, size)
        begun = time.perf_counter()
        replica = self._create("replica", replica_of=source)
        emit("replica", engine=self._name, data_mb=round(size),
             seconds_to_active=round(time.perf_counter() - begun, 1))
        self._delete(replica)
        self._delete(source)
        self._drop(backup)

    # ---- what is measured

    def _idle(self, ident: str) -> None:
        """Tell how much an agent works when there is nothing to do."""
        time.sleep(10)
        agent = self._agent(ident)
        # the programs that it runs, too
        before = sum(agent.cpu_times()[:4])
        time.sleep(_IDLE)
        emit("idle agent", engine=self._name, cpu_percent=round(
            100 * (sum(agent.cpu_times()[:4]) - before) / _IDLE, 2), goal=_CPU,
            rss_mb=round(agent.memory_info().rss / 1e6, 1))

    def _fill(self, ident: str) -> int:
        """Write rows; return the bytes of the data directory."""
        data = root_of(ident) / self._engine.data
        with self._engine.connect(self._address(ident)) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, c TEXT)")
            for first in range(1, int(_GB * 1e9 / _ROW), _BATCH):
                cursor.execute(self._engine.insert % (first, first + _BATCH - 1))
        return sum(one.stat().st_size for one in data.rglob("*") if one.is_file())

    def _backups(self, ident: str, size: float) -> str:
        """Measure backups and the program on its own; return the id of the last backup."""
        made, alone, memory = [], [], []
        backup = ""
        for number in range(1 + _ROUNDS):
            if backup:
                self._drop(backup)
            backup, seconds, most = self._backup(ident)
            without = self._dump(ident)
            if number:
                made.append(seconds)
                alone.append(without)
                memory.append(most)
        self._compare("backup", size, made, alone, memory)
        return backup

    def _restores(self, ident: str, backup: str, size: float) -> None:
        """Measure restores and the program on its own."""
        made, alone, memory = [], [], []
        for number in range(1 + _ROUNDS):
            seconds, most = self._restore(backup)
            without, begins = self._load(ident)
            if number:
                made.append(seconds - begins)
                alone.append(without)
                memory.append(most)
        self._compare("restore", size, made, alone, memory)

    def _compare(self, what: str, size: float, made: list[float], alone: list[float],
                 memory: list[int]) -> None:
        seconds, without = statistics.median(made), statistics.median(alone)
        emit(what, engine=self._name, data_mb=round(size), rounds=len(made),
             seconds=round(seconds, 1), seconds_alone=round(without, 1),
             mb_per_second=round(size / seconds, 1), share=round(without / seconds, 2),
             goal=_SHARE, agent_rss_mb=round(max(memory) / 1e6, 1), goal_rss_mb=_MEMORY)

    def _backup(self, ident: str) -> tuple[str, float, int]:
        """Make a backup; return its id, the seconds, and the most memory of the agent."""
        os.sync()
        with self._watched(ident) as most:
            answer = self._stage.request("POST", "/backups", {"backup": {
                "name": "bench", "instance": ident}})
            backup = str(answer.json()["backup"]["id"])
            self._wait(f"/backups/{backup}", "backup", "COMPLETED")
        self._wait(f"/instances/{ident}", "instance", "ACTIVE")
        return backup, sum(self._stage.steps(backup, "backup.create").values()), most[0]

    def _dump(self, ident: str) -> float:
        """Run the program on its own; return the seconds."""
        root = root_of(ident)
        self._shell(ident, "rm", "-rf", _FOLDER)
        self._shell(ident, "mkdir", "-p", _FOLDER)
        os.sync()
        begun = time.perf_counter()
        with (root / _FILE.lstrip("/")).open("wb") as target:
            self._piped(ident, [self._engine.dump(root), ["zstd", "-3", "-T1", "-c"]],
                        stdout=target)
        return time.perf_counter() - begun

    def _restore(self, backup: str) -> tuple[float, int]:
        """Create a database from a backup; return the seconds of its server, and the memory."""
        os.sync()
        ident = self._begin("copy", restorePoint={"backupRef": backup},
                            datastore={"type": self._name})
        with self._watched(ident) as most:
            self._wait(f"/instances/{ident}", "instance", "ACTIVE")
        seconds = self._stage.steps(ident, "instance.create")["prepare"]
        self._delete(ident)
        return seconds, most[0]

    def _load(self, ident: str) -> tuple[float, float]:
        """Make a data directory from what the program made; return the seconds.

        Besides: those that a server without data needs, less those to make its directory.
        """
        other = self._create("alone", datastore={"type": self._name})
        name = _FILE.lstrip("/")
        shutil.copyfile(root_of(ident) / name, root_of(other) / name)
        folder = self._engine.unpacked
        self._shell(other, "mkdir", folder)
        unpack, *rest = ((line % folder).split() for line in self._engine.load)
        os.sync()
        begun = time.perf_counter()
        self._piped(other, [["zstd", "-d", "-c", _FILE], unpack])
        for line in rest:
            self._shell(other, *line)
        took = time.perf_counter() - begun
        begins = self._stage.steps(other, "instance.create")["prepare"] - self._install(other)
        self._delete(other)
        return took, begins

    def _install(self, ident: str) -> float:
        """Make the directory of a database without data; return the seconds."""
        folder = f"{self._engine.unpacked}-empty"
        user, program = self._engine.install(folder)
        self._shell(ident, "install", "-d", "-o", user, folder)
        begun = time.perf_counter()
        self._shell(ident, "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
                    *program)
        return time.perf_counter() - begun

    # ---- processes of the server

    def _agent(self, ident: str) -> psutil.Process:
        return psutil.Process(int(root_of(ident).parent.name))

    @contextlib.contextmanager
    def _watched(self, ident: str) -> Iterator[list[int]]:
        """Give the most memory that the agent holds meanwhile, in bytes."""
        most, ends = [0], threading.Event()

        def watch() -> None:
            while not ends.wait(0.2):
                # a server that is being made has none yet
                with contextlib.suppress(psutil.Error, AssertionError, LookupError, OSError):
                    most[0] = max(most[0], self._agent(ident).memory_info().rss)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield most
        finally:
            ends.set()
            thread.join()

    def _inside(self, ident: str, argv: list[str]) -> list[str]:
        pid = self._agent(ident).pid
        return ["sh", "-c", _JOIN, "sh", *_groups(pid), "--", "nsenter", "--target", str(pid),
                "--mount", "--pid", "--root", "--wdns=/", *argv]

    def _shell(self, ident: str, *argv: str) -> None:
        subprocess.run(self._inside(ident, list(argv)), check=True, capture_output=True)

    def _piped(self, ident: str, programs: list[list[str]], stdout: Any = None) -> None:
        first = subprocess.Popen(self._inside(ident, programs[0]), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=False)
        assert first.stderr is not None
        noise: list[bytes] = []
        reader = threading.Thread(target=lambda: noise.extend(first.stderr or ()))
        reader.start()
        subprocess.run(self._inside(ident, programs[1]), stdin=first.stdout, stdout=stdout,
                       check=True)
        reader.join()
        if first.wait():
            raise RuntimeError(b"".join(noise[-5:]).decode())

    # ---- requests

    def _begin(self, name: str, **more: Any) -> str:
        body = {"name": name, "flavorRef": "2", "volume": {"size": self._size}, **more}
        return str(self._stage.request("POST", "/instances", {"instance": body}).json()[
            "instance"]["id"])

    def _create(self, name: str, **more: Any) -> str:
        ident = self._begin(name, **more)
        self._wait(f"/instances/{ident}", "instance", "ACTIVE")
        return ident

    def _drop(self, backup: str) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                self._stage.request("DELETE", f"/backups/{backup}")
                break
            except requests.HTTPError as err:
                # the snapshot that a replica was made from continues it, until that is deleted
                if err.response.status_code != 409 or time.monotonic() > end:
                    raise
                time.sleep(1)
        self._wait(f"/backups/{backup}", "backup", None)

    def _delete(self, ident: str) -> None:
        self._stage.request("DELETE", f"/instances/{ident}")
        self._wait(f"/instances/{ident}", "instance", None)

    def _address(self, ident: str) -> str:
        return str(self._stage.request("GET", f"/instances/{ident}").json()["instance"]["ip"][0])

    def _wait(self, path: str, kind: str, wanted: str | None) -> None:
        self._stage.wait(path, kind, wanted, 1800)
