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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.sql import SQL

from trove_ng.common.errors import BadRequest, GuestError, ServiceUnavailable
from trove_ng.datastores.postgresql.rules import REPLICAS
from trove_ng.guestagent.datastores.experimental.postgresql import replica_accounts
from trove_ng.guestagent.datastores.experimental.postgresql.config import (
    KEEPS_WAL,
    OWNER,
    Configuration,
)
from trove_ng.guestagent.datastores.experimental.postgresql.overrides import Overrides
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server, Session, statement
from trove_ng.guestagent.datastores.experimental.postgresql.wal import (
    POSITION,
    is_recovering,
    number_of,
)
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.replicas import LastWord, account_names, is_answered, only_progress
from trove_ng.guestagent.tls import TlsStore
from trove_ng.rpc import replication_messages as rm

LOG = logging.getLogger(__name__)

#: first version that changes its source while it runs
RELOADS_SOURCE = 13
#: seconds until the source must have answered a new replica
_ANSWER_SECONDS = 30
#: seconds that a replica that is detached may take to apply what it received; less than a
#: connection waits for an answer
_APPLY_SECONDS = 45
#: seconds that a server must have waited for more log to have applied all
_STILL_SECONDS = 1.0
#: what a server waits for that has applied all that it received
_WAITS = ["RecoveryWalAll", "RecoveryWalStream", "RecoveryRetrieveRetryInterval"]
_HELD = "The database follows nobody, and clients may not write."
_APPLIES = "The replica applies what it has received."
#: seconds that the sender of a replica takes to end, at most
_END_SECONDS = 20
_POLL_SECONDS = 0.1
_SSLMODE = "sslmode"
#: how a replica follows a source that speaks no TLS
_UNVERIFIED = "prefer"
#: the first release whose clients find an address in a certificate
_READS_ADDRESSES = 15
#: what a source that sends nothing is asked
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
#: what of a source a replica must have too, and what the data call it
_SHARED = {"max_connections": "max_connections", "max_worker_processes": "max_worker_processes",
           "max_wal_senders": "max_wal_senders", "max_prepared_xacts":
           "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}
_STATE = re.compile(r"^Database cluster state: +(.+)$", re.MULTILINE)
#: states of data that hold all that was written
_ENDED = ("shut down", "shut down in recovery")
_CONTROL = re.compile(r"(\w+) setting: +(\d+)")


def shared_settings(control: str) -> dict[str, int]:
    """Return what a replica's settings must be at least, as the control data tell it."""
    return {_SHARED[name]: int(value) for name, value in _CONTROL.findall(control)
            if name in _SHARED}


def conninfo(host: str, port: int, user: str, password_file: pathlib.Path,
             sslmode: str = _UNVERIFIED, trusted: pathlib.Path | None = None) -> str:
    """Return how a replica reaches its source; it is no secret, for the server logs it.

    :param sslmode: how it verifies it
    :param trusted: file of what with
    """
    return (f"host={host} port={port} user={user} passfile={password_file} "
            f"application_name={user} connect_timeout=10 sslmode={sslmode}"
            # a certificate that is not there: it is looked for in somebody's home otherwise
            + (f" sslrootcert={trusted} sslcert={trusted}.none" if trusted is not None else ""))


def password_line(password: str) -> str:
    """Return the line of a password file that is for every source."""
    return "*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n"


class _Seen(NamedTuple):
    """What a server says of its source.

    :param paused: it applies nothing
    :param starved: it gets nothing
    :param lag: seconds since what it applied last was written, 0 if it has applied all that its
        source has
    :param received: how far the log goes that it has
    """

    paused: bool
    starved: bool
    lag: int
    position: str
    received: str | None


class Replication:
    """Settings, accounts, slots and statements.

    :param overrides: reads changed files
    :param kept: returns the file on the data volume that tells whom the replica follows
    :param restart: gives the server what it reads at its start only
    :param tls: keeps what its source is verified with
    :param word: knows when its source was heard
    """

    def __init__(self, server: Server, configuration: Configuration, overrides: Overrides,
                 paths: Paths, kept: Callable[[], pathlib.Path],
                 restart: Callable[[], None], tls: TlsStore, word: LastWord) -> None:
        self._server = server
        self._configuration = configuration
        self._overrides = overrides
        self._paths = paths
        self._kept = kept
        self._restart = restart
        self._tls = tls
        self._word = word
        self._slots = int(paths.version) >= KEEPS_WAL
        #: what :meth:`trouble` found when it was asked for the last time, see ``rm.REPLICATION``
        self.state: dict[str, Any] = {}
        #: when it last had all that its source had
        self._level: float | None = None

    # ---- as the source ----------------------------------------------------------

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas, each with its slot."""
        wanted = request.add
        names = account_names(request)
        with self._server.session() as session:
            if is_recovering(session):
                replica_accounts.set_slots(session, names, wanted, slots=self._slots)
                return
            replica_accounts.drop_others(session, names)
            if wanted is not None:
                replica_accounts.add(session, wanted, slots=self._slots)
            if not names:
                session.run(statement("DROP ROLE IF EXISTS {}", REPLICAS))

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
        return shared_settings(self._control())

    def _control(self) -> str:
        return commands.run(
            [self._paths.program("pg_controldata"), "-D", str(self._paths.data)], user=OWNER,
            cwd="/", env={"LC_ALL": "C"}, timeout=60).stdout

    def follow(self, request: rm.FollowRequest) -> None:
        """Follow a source, and wait until it sends; the data tell from where on.

        :raises BadRequest: the data are not a replica's
        :raises ServiceUnavailable: it does not, and may do later
        """
        if not self.is_replica():
            raise BadRequest("The database has data of its own; it cannot follow another one.")
        trusted = self._tls.trust(request.authority)
        verified = "verify-full" if request.named and self._reads_addresses() else "verify-ca"
        files.make_directory(self._kept().parent, mode=0o700)
        files.write_bytes(self._kept(), msgspec.json.encode({
            "host": request.host, "port": request.port, "user": request.user,
            "password": request.password.reveal(),
            _SSLMODE: verified if trusted is not None else _UNVERIFIED}), mode=0o600)
        self._level = None
        self.configure_again()
        self._read()
        self.wait()

    def _reads_addresses(self) -> bool:
        """Return whether libpq, as it comes with the server, finds an address in a certificate."""
        release = (self._paths.data / "PG_VERSION").read_text().strip()
        return int(release.partition(".")[0]) >= _READS_ADDRESSES

    def configure_again(self) -> None:
        """Write whom the volume says that this server follows, if it does."""
        try:
            kept = msgspec.json.decode(self._kept().read_bytes())
        except FileNotFoundError:
            return
        place = self._paths.password_file
        files.write_text(place, password_line(kept["password"]), mode=0o600, owner=OWNER)
        self._configuration.set_source(
            conninfo(kept["host"], kept["port"], kept["user"], place,
                     kept.get(_SSLMODE, _UNVERIFIED), self._tls.trusted),
            kept["user"] if self._slots else None)

    def wait(self) -> None:
        """Wait until the source sends.

        :raises ServiceUnavailable: it does not
        """
        deadline = time.monotonic() + _ANSWER_SECONDS
        while _sentence(seen := self._look_again()):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(_sentence(seen))
            if seen.paused:
                self._restart()
            time.sleep(_POLL_SECONDS)

    def _look_again(self) -> _Seen:
        """Look; a server that ended is started.

        It ends when it has the first part of a record that was cut off where its new source
        begins, and asks for what follows the segment of that.  At a start it asks for the whole.
        """
        try:
            return self._look()
        except GuestError:
            LOG.warning("the replica is restarted: it ended when it got another source")
            self._restart()
            return self._look()

    def detach(self, *, hold: bool = False, keep: Sequence[str] = ()) -> None:
        """Apply all that was received, then follow nobody and let clients write.

        :param hold: clients may not write: the server stands by, for what others have
        :param keep: accounts of replicas that stay, see ``rm.DetachRequest``
        """
        if not self.is_replica() and not self._kept().exists():
            return
        if hold:
            self.stop_receiving()
            self._forget()
            return
        held = not self._kept().exists()
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
        if not held:
            # those of the source's other replicas came with its data
            self.set_accounts(rm.ReplicaAccounts(keep=[*keep]))
        self._forget()

    def _forget(self) -> None:
        """Know nobody to follow any more."""
        files.remove(self._paths.password_file)
        files.remove(self._kept())
        self._tls.trust("")

    def stop_receiving(self) -> rm.Position:
        """Get no changes any more; return the position when those that came are applied.

        :raises ServiceUnavailable: they take longer
        """
        if self.is_replica():
            self._configuration.unset_source()
            self._read()
        with self._server.session() as session:
            deadline = time.monotonic() + _END_SECONDS
            while session.run(SQL("SELECT FROM pg_stat_wal_receiver")):
                if time.monotonic() > deadline:
                    raise ServiceUnavailable("The replica gets changes still.")
                time.sleep(_POLL_SECONDS)
            self._apply(session)
        return self.position()

    def receive_again(self) -> None:
        """Get changes again, if a source is followed."""
        if self._kept().exists():
            self.configure_again()
            self._read()

    def _read(self) -> None:
        """Have the server know whom it follows."""
        if int(self._paths.version) < RELOADS_SOURCE:
            self._restart()
        else:
            self._overrides.reload()

    # ---- as either --------------------------------------------------------------

    def hold(self) -> None:
        """Have the data of a server that was stopped stand by: nobody can write, nor can it.

        :raises ServiceUnavailable: it did not end well, and has to recover first
        """
        state = _STATE.search(self._control())
        if state is None or state[1] not in _ENDED:
            raise ServiceUnavailable("The database was not shut down well.")
        self.stand_by()

    def stand_alone(self) -> None:
        """Have the data of a server that was stopped be those of a source, as they were."""
        self._configuration.unset_source()
        files.remove(self._paths.standby_signal)
        self._forget()

    def position(self) -> rm.Position:
        """Return the position of the last change, own or received."""
        with self._server.session() as session:
            ((found,),) = session.run(SQL(
                "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                "ELSE pg_current_wal_flush_lsn() END)::text"))
        return rm.Position(position=found, progress=number_of(found))

    def reaches(self, position: str, seconds: float) -> bool:
        """Return whether all changes up to a position are applied, after some time."""
        if not POSITION.fullmatch(position):
            raise BadRequest("A position in the log is two numbers.")
        deadline = time.monotonic() + seconds
        while number_of(self.position().position) < number_of(position):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    # ---- as a replica, and what it waits for ------------------------------------

    @staticmethod
    def _apply(session: Session) -> None:
        """Wait until all that was received by now is applied.

        What was received may end within a record, which is never applied if the source is lost,
        and a server that was started again does not tell how far it received.  So where nothing
        comes any more the server's own word counts: it waits for more.

        :raises ServiceUnavailable: it takes longer
        """
        ((received,),) = session.run(SQL("SELECT pg_last_wal_receive_lsn()::text"))
        deadline = time.monotonic() + _APPLY_SECONDS
        before, since = None, time.monotonic()
        while True:
            ((follows, receives, reached, waits, applied),) = session.run(SQL(
                "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_stat_wal_receiver), "
                "pg_last_wal_replay_lsn() >= %s::pg_lsn, EXISTS (SELECT FROM pg_stat_activity "
                "WHERE backend_type = 'startup' AND wait_event = ANY (%s)), "
                "pg_last_wal_replay_lsn()::text"), (received, _WAITS))
            now = time.monotonic()
            if receives or not waits or applied != before:
                before, since = applied, now
            if not follows or (receives and reached) or now - since >= _STILL_SECONDS:
                return
            if now > deadline:
                raise ServiceUnavailable(_APPLIES)
            time.sleep(_POLL_SECONDS)

    def trouble(self, seconds: int) -> str:
        """Return why a replica does not follow its source; empty if it does, or is none.

        :param seconds: how long the server may take to answer
        """
        before, self.state = self.state, {}
        try:
            if not self._kept().exists():
                return _HELD if self.is_replica() else ""
            seen = self._look(seconds)
            self.state = self._state(seen)
            return _sentence(seen)
        except (GuestError, OSError) as err:
            LOG.warning("it cannot be told whether the replica follows: %s", err)
            self.state = only_progress(before)
            return ""

    def _state(self, seen: _Seen) -> dict[str, Any]:
        kept = msgspec.json.decode(self._kept().read_bytes())
        source = kept["host"], kept["port"]
        if not seen.starved:
            now = time.monotonic()
            if seen.lag <= 0:
                self._level = now
            # a source that was still for long wrote long ago what was applied last
            self._word.hear(*source, max(0, seen.lag if self._level is None else
                                         min(seen.lag, round(now - self._level))))
        # one that its source refuses says nothing of whether that lives
        unreached = seen.starved and not is_answered(*source, _SSL_REQUEST)
        unheard, last_lag = self._word.look(*source)
        return {"lag": None if seen.starved else last_lag, "position": seen.position,
                rm.CONNECTED: not seen.starved, rm.APPLIES: not seen.paused,
                rm.LAST_LAG: last_lag, rm.PROGRESS: number_of(seen.received or "0/0"),
                **({rm.UNHEARD: unheard} if unreached and unheard is not None else {})}

    def _look(self, seconds: int = 60) -> _Seen:
        """Return what the server says of its source."""
        kept = msgspec.json.decode(self._kept().read_bytes())
        try:
            with self._server.connect(seconds, seconds) as connection:
                row = connection.execute(
                    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() "
                    "ELSE false END, NOT EXISTS "
                    "(SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' "
                    # it may be that of the source before still
                    "AND (sender_host, sender_port) = (%s, %s) "
                    "AND strpos(conninfo, %s) > 0), "
                    # what its source has, as that says with all that it sends
                    "CASE WHEN pg_last_wal_replay_lsn() >= coalesce((SELECT latest_end_lsn "
                    "FROM pg_stat_wal_receiver), pg_last_wal_receive_lsn()) THEN 0 ELSE "
                    "coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0) "
                    "END::int, coalesce(pg_last_wal_replay_lsn()::text, ''), "
                    "greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text",
                    (kept["host"], kept["port"],
                     f"sslmode={kept.get(_SSLMODE, _UNVERIFIED)}")).fetchone()
        except (psycopg.Error, OSError) as err:
            raise GuestError("The database server does not tell of its replication.") from err
        assert row is not None
        return _Seen(*row)


def _sentence(seen: _Seen) -> str:
    """Return what is wrong with a replica, by its word on its source."""
    if seen.paused:
        return ("The replica applies no changes: settings of its source are larger than its own "
                "until it is restarted.")
    return "The replica does not get changes from its source." if seen.starved else ""
