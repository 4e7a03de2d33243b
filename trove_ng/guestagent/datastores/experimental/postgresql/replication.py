"""Streaming replication: accounts and slots at the source, and following one.

A replica has an account and a slot of its own at its source, both of one name.  The slot keeps
the log that the replica has not got yet, within the bounds of all slots.  Whom a replica
follows is kept on the data volume, for a root disk that is lost; that it follows, the data say.
"""

from __future__ import annotations

import logging
import pathlib
import re
import time
from collections.abc import Callable, Mapping

import msgspec
import psycopg
from psycopg.sql import SQL

from trove_ng.common.errors import BadRequest, GuestError, ServiceUnavailable
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.datastores.postgresql.rules import REPLICAS
from trove_ng.guestagent.datastores.experimental.postgresql.config import (
    KEEPS_WAL,
    OWNER,
    Configuration,
)
from trove_ng.guestagent.datastores.experimental.postgresql.overrides import Overrides
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server, Session, statement
from trove_ng.guestagent.datastores.experimental.postgresql.wal import SLOT
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.replicas import account_names
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm

LOG = logging.getLogger(__name__)

#: first version that changes its source while it runs
RELOADS_SOURCE = 13
#: seconds until the source must have answered a new replica
_ANSWER_SECONDS = 30
#: seconds that a replica that is detached may take to apply what it received; less than a
#: connection waits for an answer
_APPLY_SECONDS = 45
_APPLIES = "The replica applies what it has received."
#: seconds that the sender of a replica takes to end, at most
_END_SECONDS = 20
_POLL_SECONDS = 0.1
_SEGMENT = 16 * 1024 ** 2
#: what of a source a replica must have too, and what the data call it
_SHARED = {"max_connections": "max_connections", "max_worker_processes": "max_worker_processes",
           "max_wal_senders": "max_wal_senders", "max_prepared_xacts":
           "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}
_CONTROL = re.compile(r"(\w+) setting: +(\d+)")


def shared_settings(control: str) -> dict[str, int]:
    """Return what a replica's settings must be at least, as the control data tell it."""
    return {_SHARED[name]: int(value) for name, value in _CONTROL.findall(control)
            if name in _SHARED}


def conninfo(host: str, port: int, user: str, password_file: pathlib.Path) -> str:
    """Return how a replica reaches its source; it is no secret, for the server logs it."""
    return (f"host={host} port={port} user={user} passfile={password_file} "
            f"application_name={user} connect_timeout=10")


def password_line(password: str) -> str:
    """Return the line of a password file that is for every source."""
    return "*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n"


class Replication:
    """Settings, accounts, slots and statements.

    :param overrides: reads changed files
    :param kept: returns the file on the data volume that tells whom the replica follows
    """

    def __init__(self, server: Server, configuration: Configuration, overrides: Overrides,
                 paths: Paths, kept: Callable[[], pathlib.Path]) -> None:
        self._server = server
        self._configuration = configuration
        self._overrides = overrides
        self._paths = paths
        self._kept = kept
        self._slots = int(paths.version) >= KEEPS_WAL

    # ---- as the source ----------------------------------------------------------

    def enable(self) -> None:
        """Keep log for replicas where slots would keep it without bound."""
        if not self._slots:
            most = Configuration.kept_wal(filesystem_stats(self._paths.mount).total)
            self._configuration.set_final("wal_keep_segments", most // _SEGMENT)
            self._overrides.reload()

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas, each with its slot."""
        wanted = request.add
        names = account_names(request)
        with self._server.session() as session:
            for (name,) in session.run(SQL(
                    "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %s) UNION "
                    "SELECT slot_name::text FROM pg_replication_slots "
                    "WHERE starts_with(slot_name, %s)"), (REPLICA_USERS, REPLICA_USERS)):
                if name not in names:
                    _drop(session, name)
            if wanted is not None:
                self._add(session, wanted)
            if not names:
                session.run(statement("DROP ROLE IF EXISTS {}", REPLICAS))
        if not names and not self._slots:
            self._configuration.unset_final("wal_keep_segments")
            self._overrides.reload()

    def _add(self, session: Session, wanted: m.UserSpec) -> None:
        name = wanted.name
        if wanted.password is None:
            raise BadRequest("The account of a replica has a password.")
        with session.together():
            for role in (REPLICAS, name):
                if not session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (role,)):
                    session.run(statement("CREATE ROLE {}", role))
            session.run(statement("GRANT {} TO {}", REPLICAS, name))
            session.run(statement("ALTER ROLE {} LOGIN REPLICATION PASSWORD {secret}", name,
                                  secret=session.verifier(name, wanted.password)))
        if not self._slots or session.run(
                SQL("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"), (name,)):
            return
        # what was written since the backup that the replica begins with is kept for backups
        if not session.run(SQL(
                "SELECT pg_copy_physical_replication_slot(slot_name, %s) "
                "FROM pg_replication_slots WHERE slot_name = %s AND restart_lsn IS NOT NULL"),
                (name, SLOT)):
            session.run(SQL("SELECT pg_create_physical_replication_slot(%s, true)"), (name,))

    # ---- as a replica -----------------------------------------------------------

    def is_replica(self) -> bool:
        """Return whether the data are those of a server that follows."""
        return self._paths.standby_signal.exists()

    def stand_by(self) -> None:
        """Have the data that were restored be a replica's, from the first start on."""
        files.write_text(self._paths.standby_signal, "", mode=0o600, owner=OWNER)

    def least(self) -> Mapping[str, int]:
        """Return what settings must be at least: a replica must hold what its source has.

        :raises GuestError: the data do not tell
        """
        if not self.is_replica():
            return {}
        return shared_settings(commands.run(
            [self._paths.program("pg_controldata"), "-D", str(self._paths.data)], user=OWNER,
            cwd="/", env={"LC_ALL": "C"}, timeout=60).stdout)

    def follow(self, request: rm.FollowRequest) -> None:
        """Write whom to follow; the data tell from where on.

        :raises BadRequest: the data are not a replica's
        """
        if not self.is_replica():
            raise BadRequest("The database has data of its own; it cannot follow another one.")
        files.make_directory(self._kept().parent, mode=0o700)
        files.write_bytes(self._kept(), msgspec.json.encode({
            "host": request.host, "port": request.port, "user": request.user,
            "password": request.password.reveal()}), mode=0o600)
        self.configure_again()

    def configure_again(self) -> None:
        """Write whom the volume says that this server follows, if it does."""
        try:
            kept = msgspec.json.decode(self._kept().read_bytes())
        except FileNotFoundError:
            return
        place = self._paths.password_file
        files.write_text(place, password_line(kept["password"]), mode=0o600, owner=OWNER)
        self._configuration.set_source(
            conninfo(kept["host"], kept["port"], kept["user"], place),
            kept["user"] if self._slots else None)

    @property
    def needs_restart(self) -> bool:
        """Whether the server learns at its start only whom it follows."""
        return int(self._paths.version) < RELOADS_SOURCE

    def wait(self, restart: Callable[[], None]) -> None:
        """Wait until the source sends.

        :param restart: gives the server what it must have
        :raises ServiceUnavailable: it does not
        """
        deadline = time.monotonic() + _ANSWER_SECONDS
        while any(seen := self._look()):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(_sentence(*seen))
            if seen[0]:
                restart()
            time.sleep(_POLL_SECONDS)

    def detach(self) -> None:
        """Apply all that was received, then follow nobody and let clients write."""
        if not self.is_replica() and not self._kept().exists():
            return
        with self._server.session() as session:
            self._apply(session)
            # what it is told here cannot be taken back
            ((ended,),) = session.run(SQL(
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(true, %s) ELSE true END"),
                (_APPLY_SECONDS,))
        if not ended:
            raise ServiceUnavailable(_APPLIES)
        self._configuration.unset_source()
        self._overrides.settle()
        self._overrides.reload()
        files.remove(self._paths.password_file)
        # those of the source's other replicas came with its data
        self.set_accounts(rm.ReplicaAccounts())
        files.remove(self._kept())

    @staticmethod
    def _apply(session: Session) -> None:
        """Wait until all that was received by now is applied.

        :raises ServiceUnavailable: it takes longer
        """
        ((received,),) = session.run(SQL("SELECT pg_last_wal_receive_lsn()::text"))
        deadline = time.monotonic() + _APPLY_SECONDS
        while received is not None:
            ((applied,),) = session.run(SQL(
                "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %s::pg_lsn"),
                (received,))
            if applied:
                return
            if time.monotonic() > deadline:
                raise ServiceUnavailable(_APPLIES)
            time.sleep(_POLL_SECONDS)

    def trouble(self, seconds: int) -> str:
        """Return why a replica does not follow its source; empty if it does, or is none.

        :param seconds: how long the server may take to answer
        """
        try:
            return _sentence(*self._look(seconds)) if self._kept().exists() else ""
        except (GuestError, OSError) as err:
            LOG.warning("it cannot be told whether the replica follows: %s", err)
            return ""

    def _look(self, seconds: int = 60) -> tuple[bool, bool]:
        """Return whether the server applies nothing, and whether it gets nothing."""
        try:
            with self._server.connect(seconds, seconds) as connection:
                row = connection.execute(
                    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() "
                    "ELSE false END, NOT EXISTS "
                    "(SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')").fetchone()
        except (psycopg.Error, OSError) as err:
            raise GuestError("The database server does not tell of its replication.") from err
        assert row is not None
        return row[0], row[1]


def _sentence(paused: bool, starved: bool) -> str:
    """Return what is wrong with a replica, by its word on its source."""
    if paused:
        return ("The replica applies no changes: settings of its source are larger than its own "
                "until it is restarted.")
    return "The replica does not get changes from its source." if starved else ""


def _drop(session: Session, name: str) -> None:
    """Drop an account and its slot, whoever uses them."""
    known = session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (name,))
    if known:
        session.run(statement("ALTER ROLE {} NOLOGIN", name))
    deadline = time.monotonic() + _END_SECONDS
    while session.run(SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                          "WHERE usename = %s"), (name,)):
        if time.monotonic() > deadline:
            raise GuestError("The connection of a replica does not end.")
        time.sleep(_POLL_SECONDS)
    session.run(SQL("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                    "WHERE slot_name = %s"), (name,))
    if known:
        session.run(statement("DROP ROLE {}", name))
