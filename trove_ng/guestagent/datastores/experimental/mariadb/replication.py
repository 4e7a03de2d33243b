"""Replication of MariaDB by global transaction ids.

All servers of a set write the binary log, so that each can become the source.  The settings
are a change of their own over the configuration, which the owner's settings do not reach;
the role is kept on the data volume too, for a root disk that is lost.
"""

from __future__ import annotations

import enum
import logging
import pathlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import pymysql
import pymysql.cursors

from trove_ng.common.errors import BadRequest, GuestError, ServiceUnavailable
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.experimental.mariadb.locks import lock, unlock
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.backup import GTID
from trove_ng.guestagent.datastores.mysql_family.config import Configuration
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os import files
from trove_ng.guestagent.replicas import account_names, only_progress
from trove_ng.rpc import replication_messages as rm

LOG = logging.getLogger(__name__)

#: seconds until the source must have answered a new replica
_ANSWER_SECONDS = 30
#: seconds that a replica that is detached may take to apply what it received; less than a
#: connection waits for an answer
_APPLY_SECONDS = 45
#: seconds of silence after which a replica takes its source for gone; the source sends a sign
#: of life in half of that time
_SILENCE_SECONDS = 4
#: seconds that a source waits for clients that hold tables before nobody may write
_LOCK_SECONDS = 20
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


def server_id(instance_id: str) -> int:
    """Return the number of a server, which no other one of its set has."""
    return zlib.crc32(instance_id.encode()) or 1


def progress(position: str) -> int:
    """Return how many changes a position counts: the last numbers of all its domains."""
    return sum(int(one.rpartition("-")[2]) for one in position.split(",") if one)


class Replication:
    """Settings, accounts and statements.

    :param marker: returns the file on the data volume that tells the role
    :param owner: user that the server runs as
    """

    def __init__(self, server: sql.Server, configuration: Configuration, paths: Paths,
                 instance_id: str, marker: Callable[[], pathlib.Path], owner: str) -> None:
        self._server = server
        self._configuration = configuration
        self._paths = paths
        self._id = server_id(instance_id)
        self._marker = marker
        self._owner = owner
        #: lag and position when :meth:`trouble` was asked for the last time
        self.state: dict[str, Any] = {}
        self._last_lag: int | None = None
        #: when it last heard its source, by the monotonic clock
        self._heard: float | None = None

    # ---- settings -------------------------------------------------------------

    def configure(self, role: Role) -> None:
        """Write the settings of a role; they are in force from the next start on."""
        folder = self._paths.binlogs
        files.make_directory(folder, mode=0o750, owner=self._owner)
        self._configuration.set_replication(folder, {
            "server_id": self._id, "log_slave_updates": "ON", "binlog_format": "MIXED",
            "gtid_strict_mode": "ON", "relay_log": "relay-bin", "relay_log_recovery": "ON",
            "relay_log_purge": "ON", "slave_net_timeout": _SILENCE_SECONDS,
            "read_only": "OFF" if role is Role.SOURCE else "ON",
            # what is the owner's runs by itself, and may be let write in spite of read_only
            **({} if role is Role.SOURCE else {_EVENTS: "OFF"})})
        files.make_directory(self._marker().parent, mode=0o700)
        files.write_text(self._marker(), role, mode=0o600)

    def configure_again(self) -> None:
        """Write the settings of the role that the data volume tells, if it tells one."""
        role = self._role()
        if role is not None:
            self.configure(role)

    def _role(self) -> Role | None:
        try:
            return Role(self._marker().read_text())
        except FileNotFoundError:
            return None

    def in_force(self) -> bool:
        """Return whether the running server has what only a start changes."""
        with self._server.session() as session:
            found, = session.run("SELECT @@log_bin, @@server_id, @@log_slave_updates, "
                                 "@@gtid_strict_mode, @@relay_log_recovery")
        return [int(one) for one in found] == [1, self._id, 1, 1, 1]

    # ---- as the source ----------------------------------------------------------

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas."""
        wanted = request.add
        names = account_names(request)
        with self._server.session() as session:
            session.run(sql.LOCALLY)
            for name, host in session.run(
                    "SELECT User, Host FROM mysql.user WHERE LEFT(User, %s) = %s",
                    (len(REPLICA_USERS), REPLICA_USERS)):
                if name not in names:
                    session.run("DROP USER IF EXISTS %s@%s", (name, host))
                    MariaDbDialect().disconnect(session, str(name))
            if wanted is not None:
                session.run("CREATE OR REPLACE USER %s@'%%' IDENTIFIED BY %s",
                            (wanted.name, wanted.password))
                session.run("GRANT REPLICATION SLAVE ON *.* TO %s@'%%'", (wanted.name,))

    def stop_writes(self) -> rm.Position:
        """Let no client commit anything any more; return the position of the last change.

        What is not committed by now never is.
        """
        self.configure(Role.HELD)
        with self._server.session() as session:
            # a client that holds a table is not waited for long: all others wait behind us
            session.run("SET SESSION lock_wait_timeout = %s", (_LOCK_SECONDS,))
            _stop_events(session)
            # only the change to 1 waits for commits under way, of those who are kept out too
            session.run("SET GLOBAL read_only = 0")
            lock(session)
            session.run("SET GLOBAL read_only = 1")
        return self.position()

    def allow_writes(self) -> None:
        """Let clients write."""
        # first: a server that does not answer lets them after its next start
        self.configure(Role.SOURCE)
        self.open()

    def open(self) -> None:
        """Have the server that is configured as a source take what clients write."""
        with self._server.session() as session:
            unlock(session)
            session.run("SET GLOBAL read_only = 0")
            if str(self._configuration.option(_EVENTS)).upper() in ("ON", "1", "TRUE"):
                session.run("SET GLOBAL event_scheduler = 1")

    # ---- as either --------------------------------------------------------------

    def position(self) -> rm.Position:
        """Return the position of the last change, own or received."""
        with self._server.session() as session:
            ((found,),) = session.run("SELECT @@GLOBAL.gtid_current_pos")
        return rm.Position(position=found, progress=progress(found))

    # ---- as a replica -----------------------------------------------------------

    def stop_receiving(self) -> rm.Position:
        """Get no changes any more; return the position when those that came are applied.

        :raises ServiceUnavailable: they take longer
        """
        found = self.status()
        if found:
            with self._server.session() as session:
                session.run("STOP SLAVE IO_THREAD")
            # the received is in the answer now
            if not self.reaches(self.status()["Gtid_IO_Pos"], _APPLY_SECONDS):
                raise ServiceUnavailable("The replica applies what it has received.")
        return self.position()

    def receive_again(self) -> None:
        """Get changes again, if a source is followed."""
        if self.status():
            with self._server.session() as session:
                session.run("START SLAVE")

    def reaches(self, position: str, seconds: float) -> bool:
        """Return whether all changes up to a position are applied, after some time.

        :raises GuestError: they cannot be
        """
        with self._server.session() as session:
            ((found,),) = session.run("SELECT MASTER_GTID_WAIT(%s, %s)", (position, seconds))
        status = {} if found == 0 else self.status()
        if status and status["Last_SQL_Errno"]:
            raise GuestError(_sentence(status))
        return bool(found == 0)

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
        with self._server.session() as session:
            session.run("SET GLOBAL read_only = 1")
            # it may run since before the settings said so; the source learns of it next
            session.run("SET GLOBAL slave_net_timeout = %s", (_SILENCE_SECONDS,))
            session.run("STOP SLAVE")
            if position is not None and not known:
                session.run("RESET SLAVE ALL")
                session.run("RESET MASTER")
                session.run("SET GLOBAL gtid_slave_pos = %s", (position[GTID],))
            elif position is None:
                # what this server wrote itself is part of where it goes on
                ((current,),) = session.run("SELECT @@GLOBAL.gtid_current_pos")
                session.run("SET GLOBAL gtid_slave_pos = %s", (current,))
            session.run(
                "CHANGE MASTER TO master_host = %s, master_port = %s, master_user = %s, "
                "master_password = %s, master_use_gtid = slave_pos, master_connect_retry = 5, "
                "master_heartbeat_period = %s",
                (request.host, request.port, request.user, request.password,
                 _SILENCE_SECONDS / 2))
            session.run("START SLAVE")
        self._wait()

    def detach(self, *, hold: bool = False) -> None:
        """Apply all that was received, then follow nobody and let clients write.

        The binary log goes on: a server that was in a set can be a source at once.

        :param hold: clients may not write
        :raises ServiceUnavailable: that takes longer; the source is followed still
        """
        found = self.status()
        with self._server.session() as session:
            if found:
                session.run("STOP SLAVE IO_THREAD")
                # the received is in the answer now
                if found["Slave_SQL_Running"] == "Yes" and not self.reaches(
                        self.status()["Gtid_IO_Pos"], _APPLY_SECONDS):
                    session.run("START SLAVE")
                    raise ServiceUnavailable("The replica applies what it has received.")
                session.run("STOP SLAVE")
                session.run("RESET SLAVE ALL")
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
            role = self._role()
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
        if connected:
            self._last_lag, self._heard = lag, time.monotonic()
        # one that was stopped, or that the source refuses, says nothing of whether that lives
        unreached = (found["Slave_IO_Running"] == "Connecting"
                     and found["Last_IO_Errno"] in _UNREACHED)
        return {"lag": lag, "position": found["Gtid_Slave_Pos"], rm.CONNECTED: connected,
                rm.APPLIES: found["Slave_SQL_Running"] == "Yes", rm.LAST_LAG: self._last_lag,
                rm.PROGRESS: progress(found["Gtid_IO_Pos"]),
                **({rm.UNHEARD: round(time.monotonic() - self._heard)}
                   if unreached and self._heard is not None else {})}

    def status(self, seconds: int = 60) -> dict[str, Any]:
        """Return the server's word on its source; empty if it follows none.

        :param seconds: how long it may take to answer
        :raises GuestError: it does not answer
        """
        try:
            with self._server.connect(answer_timeout=seconds) as connection, connection.cursor(
                    pymysql.cursors.DictCursor) as cursor:
                cursor.execute("SHOW ALL SLAVES STATUS")
                return dict(cursor.fetchone() or {})
        except (pymysql.MySQLError, OSError) as err:
            raise GuestError("The database server does not tell of its replication.") from err


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
