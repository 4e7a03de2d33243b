"""Replication by global transaction ids; an engine adds what its servers say in other words.

All servers of a set write the binary log, so that each can become the source.  The settings
are a change of their own over the configuration, which the owner's settings do not reach;
the role is kept on the data volume too, for a root disk that is lost.
"""

from __future__ import annotations

import abc
import contextlib
import enum
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pymysql
import pymysql.cursors

from trove_ng.common.errors import BadRequest, GuestError, ServiceUnavailable
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.backup import GTID
from trove_ng.guestagent.datastores.mysql_family.binlog import server_id
from trove_ng.guestagent.datastores.mysql_family.config import Configuration
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.guestagent.datastores.mysql_family.users import ANY_HOST, password_of
from trove_ng.guestagent.os import files
from trove_ng.guestagent.replicas import LastWord, account_names, only_progress
from trove_ng.guestagent.tls import Trust
from trove_ng.rpc import replication_messages as rm

LOG = logging.getLogger(__name__)

#: seconds until the source must have answered a new replica
_ANSWER_SECONDS = 30
#: seconds that a replica that is detached may take to apply what it received; less than a
#: connection waits for an answer
_APPLY_SECONDS = 45
#: seconds of silence after which a replica takes its source for gone; the source sends a sign
#: of life in half of that time
SILENCE_SECONDS = 4
#: seconds that a source waits for clients that hold tables before nobody may write
LOCK_SECONDS = 20
_EVENTS = "event_scheduler"
#: errors of a replica that tries to reach a source that does not answer; 0: it tries just now
_UNREACHED = frozenset({0, 1158, 1159, 1160, 1161, 2002, 2003, 2006, 2013, 2026, 2055})
_HELD = "Clients may not write: the source of the replicas is being changed."
#: files of a replica beside its data
FILES = ("master.info", "master-*.info", "relay-log.info", "relay-log-*.info",
         "multi-master.info", "relay*-bin.*")


class Role(enum.StrEnum):
    """What a server is in a set."""

    SOURCE = "source"
    REPLICA = "replica"
    #: it follows nobody, and clients may not write: its role is about to change
    HELD = "held"


class Replication(abc.ABC):
    """Settings, accounts and statements.

    :param marker: returns the file on the data volume that tells the role
    :param trust: keeps what its source is verified with
    :param word: knows when its source was heard
    """

    #: expression of the position of the last change, own or received
    current: ClassVar[str]
    #: statement that tells of the source
    shows: ClassVar[str]

    def __init__(self, server: sql.Server, configuration: Configuration, dialect: Dialect,
                 instance_id: str, marker: Callable[[], pathlib.Path], trust: Trust,
                 word: LastWord) -> None:
        self._server = server
        self._dialect = dialect
        self._configuration = configuration
        self._id = server_id(instance_id)
        self._marker = marker
        self._trust = trust
        self._word = word
        #: held while the role changes, and while the agent writes by its right as what it is
        self._changing = threading.RLock()
        #: lag and position when :meth:`trouble` was asked for the last time
        self.state: dict[str, Any] = {}

    @property
    def _follower(self) -> str:
        """What statements call who follows."""
        return self._dialect.words.replica.upper()

    # ---- settings -------------------------------------------------------------

    def configure(self, role: Role) -> None:
        """Write the settings of a role; they are in force from the next start on."""
        words = self._dialect.words
        settings = {
            "server_id": self._id, f"log_{words.replica}_updates": "ON",
            # what is archived must not depend on when it is applied
            "binlog_format": "ROW" if self._configuration.archives else "MIXED",
            "relay_log": "relay-bin", "relay_log_recovery": "ON",
            "relay_log_purge": "ON", f"{words.replica}_net_timeout": SILENCE_SECONDS,
            **self.options(writable=role is Role.SOURCE),
            # what is the owner's runs by itself, and may be let write in spite of read_only
            **({} if role is Role.SOURCE else {_EVENTS: "OFF"})}
        with self._changing:
            self._configuration.set_replication(settings)
            files.make_directory(self._marker().parent, mode=0o700)
            files.write_text(self._marker(), role, mode=0o600)

    def configure_again(self) -> None:
        """Write the settings of the role that the data volume tells, if it tells one."""
        role = self.role()
        if role is not None:
            self.configure(role)

    def role(self) -> Role | None:
        """Return what the server is in a set; None if it is in none."""
        try:
            return Role(self._marker().read_text())
        except FileNotFoundError:
            return None

    @abc.abstractmethod
    def options(self, *, writable: bool) -> dict[str, Any]:
        """Return options of the server's file that not all engines have.

        :param writable: clients may write
        """

    def in_force(self) -> bool:
        """Return whether the running server has what only a start changes."""
        wanted = {"log_bin": 1, "server_id": self._id, "relay_log_recovery": 1,
                  f"log_{self._dialect.words.replica}_updates": 1, **self.fixed()}
        with self._server.session() as session:
            found, = session.run(
                f"SELECT {', '.join(f'@@GLOBAL.{name}' for name in wanted)}")
        return [str(one) for one in found] == [str(one) for one in wanted.values()]

    @abc.abstractmethod
    def fixed(self) -> dict[str, Any]:
        """Return further variables that only a start changes, and their values."""

    # ---- as the source ----------------------------------------------------------

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas."""
        wanted = request.add
        names = account_names(request)
        with self.writing() as session:
            for name, host in session.run(
                    "SELECT User, Host FROM mysql.user WHERE LEFT(User, %s) = %s",
                    (len(REPLICA_USERS), REPLICA_USERS)):
                if name not in names:
                    session.run("DROP USER IF EXISTS %s@%s", (name, host))
                    self._dialect.disconnect(session, str(name))
            if wanted is not None:
                for statement in self._dialect.account(
                        wanted.name, ANY_HOST, password_of(wanted)):
                    session.run(*statement)
                session.run("GRANT REPLICATION SLAVE ON *.* TO %s@%s", (wanted.name, ANY_HOST))

    def stop_writes(self) -> rm.Position:
        """Let no client commit anything any more; return the position of the last change.

        What is not committed by now never is.
        """
        with self._changing:
            self.configure(Role.HELD)
            with self._server.session() as session:
                # a client that holds a table is not waited for long: all others wait behind us
                session.run("SET SESSION lock_wait_timeout = %s", (LOCK_SECONDS,))
                _stop_events(session)
                self.close(session)
        return self.position()

    @abc.abstractmethod
    def close(self, session: sql.Session) -> None:
        """Let no client commit any more, when what is being committed is."""

    def allow_writes(self) -> None:
        """Follow nobody, and let clients write."""
        with self._changing:
            # first: a server that does not answer lets them after its next start
            self.configure(Role.SOURCE)
            if self.status():
                with self._server.session() as session:
                    session.run(f"STOP {self._follower}")
                    self.forget(session)
                self._trust("")
            self.open()

    def open(self) -> None:
        """Have the server that is configured as a source take what clients write."""
        with self._server.session() as session:
            self.unlock(session)
            session.run("SET GLOBAL read_only = 0")
            wanted = self._configuration.option(_EVENTS)
            if (self._dialect.events if wanted is None
                    else str(wanted).upper() in ("ON", "1", "TRUE")):
                session.run("SET GLOBAL event_scheduler = 1")

    @abc.abstractmethod
    def unlock(self, session: sql.Session) -> None:
        """Let those in again whom :meth:`close` kept out by other means than ``read_only``."""

    def adopt(self, session: sql.Session) -> None:
        """Take data over that came with the part that another server had in its set."""
        self.unlock(session)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sql.Session]:
        """Give a session for what is this server's own, also where no client may write."""
        with self._changing, self._server.session() as session:
            session.run(sql.LOCALLY)
            yield session

    # ---- as either --------------------------------------------------------------

    def position(self) -> rm.Position:
        """Return the position of the last change, own or received."""
        with self._server.session() as session:
            ((found,),) = session.run(f"SELECT {self.current}")
        # a long one is told in several lines
        position = "".join(str(found).split())
        return rm.Position(position=position, progress=self.progress(position))

    @abc.abstractmethod
    def progress(self, position: str) -> int:
        """Return how many changes a position counts."""

    @abc.abstractmethod
    def applied(self, found: Mapping[str, Any]) -> str:
        """Return the position of what is applied, by a server's word on its source."""

    @abc.abstractmethod
    def received(self, found: Mapping[str, Any]) -> str:
        """Return the position of what was received, applied or not."""

    # ---- as a replica -----------------------------------------------------------

    def stop_receiving(self) -> rm.Position:
        """Get no changes any more; return the position when those that came are applied.

        :raises ServiceUnavailable: they take longer
        """
        found = self.status()
        if found:
            with self._server.session() as session:
                session.run(f"STOP {self._follower} IO_THREAD")
            # the received is in the answer now
            if not self.reaches(self.received(self.status()), _APPLY_SECONDS):
                raise ServiceUnavailable("The replica applies what it has received.")
        return self.position()

    def receive_again(self) -> None:
        """Get changes again, if a source is followed."""
        if self.status():
            with self._server.session() as session:
                session.run(f"START {self._follower}")

    def reaches(self, position: str, seconds: float) -> bool:
        """Return whether all changes up to a position are applied, after some time.

        :raises GuestError: they cannot be
        """
        with self._server.session() as session:
            found = self.waits(session, position, seconds)
        status = {} if found else self.status()
        if status and status["Last_SQL_Errno"]:
            raise GuestError(_sentence(status))
        return found

    @abc.abstractmethod
    def waits(self, session: sql.Session, position: str, seconds: float) -> bool:
        """Wait for all changes up to a position; return whether they are applied."""

    def follow(self, request: rm.FollowRequest) -> None:
        """Follow a source from a position on, and wait until it sends.

        A server that follows it already goes on where it is: again from the position would
        apply changes twice.

        :raises ServiceUnavailable: it does not, and may do later
        :raises GuestError: what it sends cannot be applied
        """
        position = request.position
        if position is not None and GTID not in position:
            raise BadRequest("The backup does not tell its position in the binary log.")
        followed = self.status()
        known = [followed.get(name) for name in ("Master_Host", "Master_Port", "Master_User")] == [
            request.host, request.port, request.user]
        words = self._dialect.words
        with self._server.session() as session:
            with self._changing:
                self.refuse(session)
            # it may run since before the settings said so; the source learns of it next
            session.run(f"SET GLOBAL {words.replica}_net_timeout = %s", (SILENCE_SECONDS,))
            session.run(f"STOP {self._follower}")
            if position is not None and not known:
                self.forget(session)
                session.run(words.reset)
                self.begin(session, position[GTID])
            elif position is None:
                self.go_on(session)
            source, trusted = words.source, self._trust(request.authority)
            session.run(
                f"CHANGE {words.change} TO {source}_host = %s, {source}_port = %s, "
                f"{source}_user = %s, {source}_password = %s, {source}_connect_retry = 5, "
                f"{source}_heartbeat_period = %s, {source}_ssl = %s, {source}_ssl_ca = %s, "
                f"{source}_ssl_verify_server_cert = %s, {self.link}",
                (request.host, request.port, request.user, request.password,
                 SILENCE_SECONDS // 2, int(trusted is not None or self._dialect.own_keys),
                 str(trusted or ""), int(
                     trusted is not None and request.named and self._dialect.reads_names)))
            session.run(f"START {self._follower}")
        self._wait()

    def forget(self, session: sql.Session) -> None:
        """Follow nobody any more, and know nobody who was followed."""
        session.run(f"RESET {self._follower} ALL")

    @abc.abstractmethod
    def refuse(self, session: sql.Session) -> None:
        """Refuse clients that write."""

    @abc.abstractmethod
    def begin(self, session: sql.Session, position: str) -> None:
        """Have a server that follows nobody, and has no log, go on from a position."""

    @abc.abstractmethod
    def go_on(self, session: sql.Session) -> None:
        """Have a server go on from where it is, with what it wrote itself."""

    @property
    @abc.abstractmethod
    def link(self) -> str:
        """What the server is told of a source beside its address and an account there."""

    def detach(self, *, hold: bool = False) -> None:
        """Apply all that was received, then follow nobody and let clients write.

        The binary log goes on: a server that was in a set can be a source at once.

        :param hold: clients may not write
        :raises ServiceUnavailable: that takes longer; the source is followed still
        """
        found = self.status()
        with self._server.session() as session:
            if found:
                session.run(f"STOP {self._follower} IO_THREAD")
                # the received is in the answer now
                if found["Slave_SQL_Running"] == "Yes" and not self.reaches(
                        self.received(self.status()), _APPLY_SECONDS):
                    session.run(f"START {self._follower}")
                    raise ServiceUnavailable("The replica applies what it has received.")
                session.run(f"STOP {self._follower}")
                self.forget(session)
        self._trust("")
        if hold:
            self.configure(Role.HELD)
        else:
            self.allow_writes()

    def _wait(self) -> None:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            found = self.status()
            if (found["Slave_IO_Running"], found["Slave_SQL_Running"]) == ("Yes", "Yes"):
                return
            if found["Last_SQL_Errno"]:
                raise GuestError(_sentence(found))
            if time.monotonic() > deadline:
                raise ServiceUnavailable(_sentence(found))
            time.sleep(0.2)

    def trouble(self, seconds: int) -> str:
        """Return why a replica does not follow its source; empty if it does, or is none.

        :param seconds: how long the server may take to answer
        """
        try:
            role = self.role()
            found = self.status(seconds) if role is Role.REPLICA else {}
        except (GuestError, OSError) as err:
            LOG.warning("it cannot be told whether the replica follows: %s", err)
            self.state = only_progress(self.state)
            return ""
        self.state = self._state(found) if found else {}
        if role is Role.HELD:
            return _HELD
        # while the source is away for a moment there is an error, too
        stopped = found and (found["Slave_SQL_Running"] != "Yes" or found["Last_IO_Errno"])
        return _sentence(found) if stopped else ""

    def _state(self, found: dict[str, Any]) -> dict[str, Any]:
        lag = found["Seconds_Behind_Master"]
        connected = found["Slave_IO_Running"] == "Yes"
        source = found["Master_Host"], found["Master_Port"]
        if connected:
            self._word.hear(*source, lag)
        unheard, last_lag = self._word.look(*source)
        # one that was stopped, or that the source refuses, says nothing of whether that lives
        unreached = (found["Slave_IO_Running"] == "Connecting"
                     and found["Last_IO_Errno"] in _UNREACHED)
        return {"lag": lag, "position": self.applied(found), rm.CONNECTED: connected,
                rm.APPLIES: found["Slave_SQL_Running"] == "Yes", rm.LAST_LAG: last_lag,
                rm.PROGRESS: self.progress(self.received(found)),
                **({rm.UNHEARD: unheard} if unreached and unheard is not None else {})}

    def status(self, seconds: int = 60) -> dict[str, Any]:
        """Return the server's word on its source, in old words; empty if it follows none.

        :param seconds: how long it may take to answer
        :raises GuestError: it does not answer
        """
        try:
            with self._server.connect(answer_timeout=seconds) as connection, connection.cursor(
                    pymysql.cursors.DictCursor) as cursor:
                cursor.execute(self.shows.format(self._follower))
                return {_old(name): value for name, value in (cursor.fetchone() or {}).items()}
        except (pymysql.MySQLError, OSError) as err:
            raise GuestError("The database server does not tell of its replication.") from err


def _old(column: str) -> str:
    return column.replace("Replica", "Slave").replace("Source", "Master")


def _stop_events(session: sql.Session) -> None:
    """Have no event begin any more; those under way end with the connections of their users."""
    ((state,),) = session.run("SELECT @@GLOBAL.event_scheduler")
    if state == "ON":
        session.run("SET GLOBAL event_scheduler = 0")


def _sentence(found: dict[str, Any]) -> str:
    """Return what is wrong with a replica, by its word on its source."""
    errors = [str(found[name]) for name in ("Last_IO_Errno", "Last_SQL_Errno") if found[name]]
    return "The replica does not get changes from its source" + (
        f" (error {', '.join(errors)})." if errors else ".")


def forget_files(data: pathlib.Path) -> None:
    """Remove from a copy of a replica's data whom it followed."""
    for pattern in FILES:
        for path in data.glob(pattern):
            files.remove(path)
