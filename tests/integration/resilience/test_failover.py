"""A lost source is replaced by itself: how soon, and that never two are written to.

Servers are killed, paused or cut off, in an order that a seed gives; ``TROVE_FAILOVER_SEEDS``
says how many seeds each engine has (1), ``TROVE_FAILOVER_FIRST_SEED`` which is the first.  Each
seed takes a set of its own with two replicas, and loses two of its sources: one that is away for
its clients too, and one whose clients could go on writing to it, where nothing but the isolation
by the cloud, which refuses that for some seconds, keeps them from it.  Old sources are written to
until the seed ends.  What is measured is written to the standard output.
"""

from __future__ import annotations

import abc
import configparser
import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import psutil
import psycopg
import pymysql
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.integration.cloud import AllInOne
from tests.integration.engines.engines import WITHOUT_SERVER
from tests.integration.processes import kill, of_server, root_of
from trove_ng.datastores import base as datastores
from trove_ng.standalone.runtime.network import host_interface

# sets are made for each
pytestmark = pytest.mark.timeout(1800)
SEEDS = int(os.environ.get("TROVE_FAILOVER_SEEDS", "1"))
FIRST_SEED = int(os.environ.get("TROVE_FAILOVER_FIRST_SEED", "0"))
ADMIN = "openrc-admin"
#: seconds that losing a source may cost, and what its owner and the operator said for it
DEFAULT, TUNED = 30.0, 10.0
#: seconds after which a client gives a server up
_PATIENCE = 1
#: seconds for which the cloud refuses to stop servers and to close ports; a failover that does not
#: wait for it is over by then
_REFUSING = 12.0


class Ack(NamedTuple):
    """A row that a member took: when it was offered, and when that was confirmed."""

    row: int
    begun: float
    ended: float


class Engine(abc.ABC):
    """What an application of an engine does, that does not wait for long.

    :param port: of the server
    """

    port = 0
    #: what the request for an instance has besides
    body: ClassVar[dict[str, Any]] = {
        "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}]}

    @abc.abstractmethod
    def login(self, address: str) -> Any:
        """Return a connection, which ends with its context."""

    def make(self, connection: Any) -> None:
        """Make what holds the rows."""
        self.ask(connection, "CREATE TABLE t (id BIGINT PRIMARY KEY)")

    def add(self, connection: Any, row: int) -> None:
        """Add a row; return when it is confirmed."""
        self.ask(connection, f"INSERT INTO t VALUES ({row})")

    def rows(self, connection: Any) -> set[int]:
        """Return all rows."""
        return {int(number) for number, in self.ask(connection, "SELECT id FROM t")}

    @staticmethod
    def ask(connection: Any, statement: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else ()


class MariaDb(Engine):
    port = 3306

    def login(self, address: str) -> Any:
        return pymysql.connect(
            host=address, user="app", password="app-Pw1", database="shop", autocommit=True,
            connect_timeout=_PATIENCE, read_timeout=_PATIENCE, write_timeout=_PATIENCE)


class PostgreSql(Engine):
    port = 5432

    def login(self, address: str) -> Any:
        return psycopg.connect(
            host=address, user="app", password="app-Pw1", dbname="shop", autocommit=True,
            connect_timeout=2, options=f"-c statement_timeout={_PATIENCE}s",
            tcp_user_timeout=_PATIENCE * 1000)


class Redis(Engine):
    port = 6379
    body: ClassVar[dict[str, Any]] = {}

    def login(self, address: str) -> Any:
        return redis.Redis(
            host=address, protocol=2, socket_timeout=_PATIENCE, retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_PATIENCE, single_connection_client=True)

    def make(self, connection: Any) -> None:
        connection.ping()

    def add(self, connection: Any, row: int) -> None:
        connection.sadd("t", row)

    def rows(self, connection: Any) -> set[int]:
        return {int(number) for number in connection.smembers("t")}


ENGINES: dict[str, Engine] = {
    "mariadb": MariaDb(), "postgresql": PostgreSql(), "redis": Redis()}
_AWAY = (pymysql.MySQLError, psycopg.Error, redis.RedisError, OSError)


class Writer(threading.Thread):
    """Offers rows to one member, again and again, on one connection while that lasts."""

    def __init__(self, engine: Engine, address: str, numbers: Iterator[int]) -> None:
        super().__init__(daemon=True)
        self._engine, self._address, self._numbers = engine, address, numbers
        self.acks: list[Ack] = []
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set():
            with contextlib.suppress(*_AWAY), self._engine.login(self._address) as connection:
                self._offer(connection)
            self.ending.wait(0.1)

    def _offer(self, connection: Any) -> None:
        while not self.ending.is_set():
            number, begun = next(self._numbers), time.monotonic()
            self._engine.add(connection, number)
            self.acks.append(Ack(number, begun, time.monotonic()))
            self.ending.wait(0.02)


class Replicated:
    """A set of replicas whose members are written to all the time."""

    def __init__(self, cloud: AllInOne, name: str, failover: dict[str, Any],
                 engine: str) -> None:
        self.cloud, self.rest, self._engine = cloud, cloud.rest(), ENGINES[engine]
        self.source = str(self.rest.post("/instances", {"instance": {
            "name": name, "flavorRef": "1", "volume": {"size": 1}, **self._engine.body,
            "datastore": {"type": engine},
            "failover": {"mode": "automatic", **failover}}}).json()["instance"]["id"])
        self.addresses = {self.source: self._address(self.source)}
        with self._engine.login(self.addresses[self.source]) as connection:
            self._engine.make(connection)
        self.rest.post("/instances", {"instance": {
            "name": f"{name}-replica", "replica_of": self.source, "replica_count": 2}})
        for one in self._replicas(self.source):
            self.addresses[one] = self._address(one)
        numbers = iter(range(1, 10 ** 9))
        # one writer asks at a time
        lock = threading.Lock()

        def following() -> Iterator[int]:
            while True:
                with lock:
                    number = next(numbers)
                yield number

        self.writers = {one: Writer(self._engine, address, following())
                        for one, address in self.addresses.items()}
        for writer in self.writers.values():
            writer.start()
        self.last = 0.0
        #: what wrote to sources of before, and still tries to, with the first row of the next one
        self.old: dict[str, tuple[Writer, Ack]] = {}

    def _address(self, ident: str) -> str:
        return str(self.cloud.wait_status(ident, "ACTIVE", 300)["ip"][0])

    def _replicas(self, ident: str) -> list[str]:
        shown = self.rest.get(f"/instances/{ident}").json()["instance"]
        return [str(one["id"]) for one in shown.get("replicas", [])]

    def read(self, ident: str) -> set[int]:
        with self._engine.login(self.addresses[ident]) as connection:
            return self._engine.rows(connection)

    def settle(self) -> None:
        """Wait until all replicas hear the source and are near it, and a failover may be."""
        def near() -> bool:
            found = [self.rest.get(f"/instances/{one}").json()["instance"].get("replication")
                     for one in self._replicas(self.source)]
            return bool(found) and all(
                one and one["connected"] and one["lag"] == 0 for one in found)

        wait(near, "the replicas", 180, pause=1)
        shown = self.rest.get(f"/instances/{self.source}").json()["instance"]["failover"]
        wait(lambda: time.monotonic() > self.last + shown["min_interval_seconds"] + 1,
             "the next failover to be allowed", 120)

    def lose(self, fault: Callable[[str], None]) -> float:
        """Lose the source; return the seconds until another one took a row.

        What a replica had by then is in the set afterwards.  A server that was only paused goes
        on when another one took a row.
        """
        old, replicas = self.source, self._replicas(self.source)
        had = set.union(*(self.read(one) for one in replicas))
        begun = time.monotonic()
        fault(old)
        found = wait(lambda: next((
            (one, self.writers[one].acks[0]) for one in replicas if self.writers[one].acks),
            None), "a row at another source", 180)
        new, ack = found
        self.last, self.source = time.monotonic(), new
        resume(old)
        self.old[old] = (self.writers.pop(old), ack)
        self.cloud.wait_status(new, "ACTIVE", 120)
        lost = {one.row for one in self.old[old][0].acks} - self.read(new)
        print(f"another source took a row after {ack.ended - begun:.1f} s; "  # noqa: T201
              f"{len(lost)} rows were acknowledged and are not in the set")
        assert had <= self.read(new), "what was replicated is lost"
        self.check_old()
        assert not any(self.writers[one].acks for one in replicas if one != new)
        self.check_aside(old)
        return ack.ended - begun

    def check_aside(self, old: str) -> None:
        """Check that the old source is off, and nobody would be let in if it were not."""
        # it is seen to be down long before its last replica has left it
        wait(lambda: not self._replicas(old), "the replicas to follow the new source", 120,
             pause=1)
        shown = self.cloud.wait_status(old, "SHUTDOWN", 120)
        assert shown["access"]["allowed_cidrs"] == []

    def check_old(self) -> None:
        """Check that old sources took nothing any more when the next one did, until now."""
        for ident, (writer, ack) in self.old.items():
            late = [one for one in [*writer.acks] if one.ended >= ack.begun]
            assert not late, f"{ident} took {len(late)} rows that another source does not have"

    def end(self) -> None:
        writers = [*self.writers.values(), *(writer for writer, _ in self.old.values())]
        for writer in writers:
            writer.ending.set()
        for writer in writers:
            writer.join(10)
        for one in (*self._replicas(self.source), self.source, *self.old):
            self.rest.request("DELETE", f"/instances/{one}")
            self.cloud.wait_gone(one)


def wait(found: Callable[[], Any], what: str, seconds: float, pause: float = 0.1) -> Any:
    """Return what is found, as soon as it is true."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(pause)
    return answer


def pause(ident: str) -> None:
    """Let a server hang."""
    for one in of_server(ident):
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGSTOP)


def resume(ident: str) -> None:
    """Let a server go on that hangs, if there is one yet."""
    # its agent is gone with it
    with contextlib.suppress(AssertionError, OSError):
        for one in reversed(of_server(ident)):
            with contextlib.suppress(psutil.Error):
                one.send_signal(signal.SIGCONT)


def split(port: int) -> Callable[[str], None]:
    """Return what cuts a server off from the bus and the other members, but not from its clients.

    :param port: which they reach it on
    """
    def alone(ident: str) -> None:
        pid = root_of(ident).parent.name
        rules = """
        table inet split {
          chain input {
            type filter hook input priority -10; policy drop;
            iif "lo" accept
            ip saddr $HOST tcp dport $PORT accept
          }
          chain output {
            type filter hook output priority -10; policy drop;
            oif "lo" accept
            ip daddr $HOST tcp sport $PORT accept
          }
        }""".replace("$HOST", _host(pid)).replace("$PORT", str(port))
        done = subprocess.run(["nsenter", "-t", pid, "-n", "nft", "-f", "-"], text=True,
                              input=rules, capture_output=True)
        assert done.returncode == 0, done.stderr
    return alone


def _host(pid: str) -> str:
    """Return the address that this machine has for a server."""
    said = subprocess.run(["nsenter", "-t", pid, "-n", "ip", "-4", "-j", "route"],
                          capture_output=True, check=True).stdout
    return next(str(one["gateway"]) for one in json.loads(said) if one["dst"] == "default")


def refused(cloud: AllInOne, fault: Callable[[str], None]) -> Callable[[str], None]:
    """Return a fault during which the cloud isolates nothing, at first."""
    rest = cloud.rest(ADMIN)
    url = urllib.parse.urljoin(rest.catalog["network"], "/_faults")

    def clear() -> None:
        rest.session.delete(url, timeout=10).raise_for_status()

    @functools.wraps(fault)
    def both(ident: str) -> None:
        for service, method, path in (("compute", "POST", "/action$"),
                                      ("network", "PUT", "/ports/")):
            rest.session.post(url, timeout=10, json={
                "kind": "error", "service": service, "method": method, "path": path,
                "status": 503}).raise_for_status()
        threading.Timer(_REFUSING, clear).start()
        fault(ident)
    return both


def partition(cloud: AllInOne) -> Callable[[str], None]:
    """Return what cuts a server off from all others, while it goes on."""
    def cut(ident: str) -> None:
        ports = cloud.rest(ADMIN).service("network", "/v2.0/ports")["ports"]
        for port in ports:
            if port["name"].startswith(f"trove-{ident}-"):
                subprocess.run(["ip", "link", "set", host_interface(port["id"]), "down"],
                               check=True)
    return cut


@contextlib.contextmanager
def agents(cloud: AllInOne, seconds: int) -> Iterator[None]:
    """Have the agents of new servers beat, and look at their databases, every so many seconds."""
    path = cloud.state_dir / "etc/trove-guestagent.conf"
    before = path.read_text()
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(before)
    parser["DEFAULT"]["report_interval"] = str(seconds)
    parser["guest_agent"] = {"status_interval": str(min(3, seconds))}
    with path.open("w") as out:
        parser.write(out)
    try:
        yield
    finally:
        path.write_text(before)


@pytest.mark.parametrize(("engine", "beat", "failover", "most"), [
    pytest.param("mariadb", 10, {}, DEFAULT, id="default"),
    pytest.param("mariadb", 1, {"timeout_seconds": 3}, TUNED, id="tuned"),
    pytest.param("postgresql", 10, {}, DEFAULT, id="default-postgresql"),
    pytest.param("postgresql", 1, {"timeout_seconds": 3}, TUNED, id="tuned-postgresql"),
    pytest.param("redis", 10, {}, DEFAULT, id="default-redis"),
    pytest.param("redis", 1, {"timeout_seconds": 3}, TUNED, id="tuned-redis")])
def test_a_killed_source_is_replaced_in_time(
        cloud: AllInOne, engine: str, beat: int, failover: dict[str, Any], most: float) -> None:
    with agents(cloud, beat):
        found = Replicated(cloud, f"killed-{beat}", failover, engine)
    try:
        found.settle()
        assert found.lose(kill) <= most
    finally:
        found.end()


#: all, where seeds are asked for; else one of them, chosen as other cases are
CHOSEN = ([*ENGINES] if "TROVE_FAILOVER_SEEDS" in os.environ
          else [random.Random(os.environ["TROVE_SEED"]).choice([*ENGINES])])


def test_each_engine_that_declares_it_is_tried_or_it_is_known_why_not() -> None:
    assert {*ENGINES} == {
        name for name, one in datastores.load_datastores().items()
        if one.capabilities.automatic_failover} - {*WITHOUT_SERVER}


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
@pytest.mark.parametrize("engine", CHOSEN)
def test_never_two_are_written_to(cloud: AllInOne, engine: str, seed: int) -> None:
    chance = random.Random(seed)
    with agents(cloud, 1):
        found = Replicated(cloud, f"seed-{seed}", {
            "timeout_seconds": 3, "min_interval_seconds": 30}, engine)
    try:
        faults = [chance.choice([kill, partition(cloud)]),
                  refused(cloud, chance.choice([split(ENGINES[engine].port), pause]))]
        chance.shuffle(faults)
        for fault in faults:
            found.settle()
            time.sleep(chance.uniform(0, 3))
            print(f"{engine} seed {seed}: {fault.__qualname__}")  # noqa: T201
            found.lose(fault)
        found.check_old()
    finally:
        found.end()
