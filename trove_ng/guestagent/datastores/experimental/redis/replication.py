"""Replication: users of replicas at the source, and following one.

A replica copies all data from its source whenever it cannot go on where it was.  Users are no
data to Redis: each server has the agent's own, and who may come in to a replica is what its
source says of its nameless user.
"""

from __future__ import annotations

import logging
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trove_ng.common.errors import (
    BadRequest,
    GuestError,
    ServiceUnavailable,
    UnprocessableEntity,
)
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.datastores.experimental.redis.access import (
    DEFAULT,
    Access,
    Source,
    digest,
    root_of,
    rules_of_replica,
)
from trove_ng.guestagent.datastores.experimental.redis.config import Configuration, as_text
from trove_ng.guestagent.datastores.experimental.redis.server import Server, Session
from trove_ng.guestagent.replicas import LastWord, account_names, is_answered, only_progress
from trove_ng.guestagent.tls import TlsStore
from trove_ng.rpc import replication_messages as rm

LOG = logging.getLogger(__name__)

#: seconds until the source must have answered a new replica
_ANSWER_SECONDS = 30
_ASK_SECONDS = 3
#: the same of one that is followed, where the next look comes soon
_SOON_SECONDS = 1
#: seconds after which a source that sends nothing is asked, and what
_SILENCE_SECONDS = 3
_PING = b"PING\r\n"
_POLL_SECONDS = 0.1
_HELD = "Clients may not write: the source of the replicas is being changed."
_STARVED = "The replica does not get changes from its source."
_COPIES = "The replica copies the data of its source."


class Replication:
    """Users, settings and commands.

    :param word: knows when the source was heard that is followed
    """

    def __init__(self, access: Access, configuration: Configuration, server: Server,
                 tls: TlsStore, word: LastWord) -> None:
        self._access = access
        self._configuration = configuration
        self._server = server
        self._tls = tls
        self._word = word
        self.state: dict[str, Any] = {}

    # ---- as the source ----------------------------------------------------------

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these users for replicas.

        :raises UnprocessableEntity: replicas would lose all data with this server's end
        """
        names, add = account_names(request), request.add
        with self._access.lock, self._server.session() as session:
            wanted = {name: password for name, password in self._access.secrets().replicas.items()
                      if name in names}
            if add is not None:
                if add.password is None:
                    raise BadRequest("The account of a replica has a password.")
                _check_kept(session)
                wanted[add.name] = digest(add.password)
            self._write(replicas=wanted)
            for name in session.run("ACL", "USERS"):
                if name.startswith(REPLICA_USERS) and name not in wanted:
                    # this ends its connections, too
                    session.run("ACL", "DELUSER", name)
            if add is not None:
                session.run("ACL", "SETUSER", add.name, *rules_of_replica(wanted[add.name]))

    def _write(self, **changes: object) -> None:
        self._access.change(**changes)
        self._configuration.set_access(self._access.settings())

    def stop_writes(self) -> rm.Position:
        """Let no client write any more; return the position of the last change."""
        with self._access.lock, self._server.session() as session:
            self._hold(session)
            return _position(session)

    def allow_writes(self) -> None:
        """Follow nobody, and let clients write."""
        with self._access.lock, self._server.session() as session:
            session.run("REPLICAOF", "NO", "ONE")
            self._write(source=None, held=False)
            session.let_in()

    # ---- as either --------------------------------------------------------------

    def position(self) -> rm.Position:
        """Return the position of the last change, own or received."""
        with self._server.session() as session:
            return _position(session)

    # ---- as a replica -----------------------------------------------------------

    def follow(self, request: rm.FollowRequest) -> None:
        """Follow a source, and wait until it sends.

        :raises ServiceUnavailable: it does not, and may do later
        """
        source = Source(request.host, request.port, request.user, request.password,
                        bool(request.authority))
        if source.encrypted and self._tls.in_force() is None:
            raise BadRequest("A server without a certificate of its own follows nobody over TLS.")
        trusted = self._tls.trust(request.authority) if source.encrypted else None
        try:
            root = _ask_root(source, trusted)
        except GuestError as err:
            raise ServiceUnavailable(err.message) from err
        with self._access.lock, self._server.session() as session:
            before = self._access.secrets()
            # one that had data has them until it has all of its source's
            self._write(source=source, root=root, closed=False, held=False,
                        synced=before.synced and (
                            before.source == source or request.position is None))
            session.config_set("masteruser", source.user)
            session.config_set("masterauth", source.password.reveal())
            self._encrypt(session, trusted)
            session.run("REPLICAOF", source.host, source.port)
            session.let_in()
            self._wait(session)

    def _encrypt(self, session: Session, trusted: pathlib.Path | None) -> None:
        """Have the server reach its source over TLS, or not.

        :param trusted: file of what it is verified with
        """
        found = self._tls.in_force()
        if found is None:
            # then it never did
            return
        settings = self._configuration.set_tls(found, trusted)
        for name, value in {**settings, "tls-replication": as_text(trusted is not None)}.items():
            session.config_set(name, value)
        if trusted is None:
            self._tls.trust("")

    def _wait(self, session: Session) -> None:
        """Wait until the data are here.

        That they are on their way is enough for one that had data, and for others after a time.
        """
        deadline = time.monotonic() + _ANSWER_SECONDS
        had_data = self._access.secrets().synced
        while reason := _word(session):
            if time.monotonic() > deadline or (had_data and reason == _COPIES):
                if reason == _COPIES:
                    return
                raise ServiceUnavailable(reason)
            time.sleep(_POLL_SECONDS)
        self._access.change(synced=True)

    def check_synced(self) -> None:
        """Check that the server has data: until its source's were here once it has none.

        :raises ServiceUnavailable: it has none yet
        """
        with self._access.lock, self._server.session() as session:
            if self._access.secrets().synced:
                return
            reason = _word(session)
            if reason:
                raise ServiceUnavailable(reason)
            self._access.change(synced=True)

    def detach(self, *, hold: bool = False) -> None:
        """Follow nobody any more, with what was received; users come in as they did.

        :param hold: clients may not write
        :raises ServiceUnavailable: nothing was received yet
        """
        self.check_synced()
        with self._access.lock, self._server.session() as session:
            if hold:
                self._hold(session)
            session.run("REPLICAOF", "NO", "ONE")
            for name in ("masterauth", "masteruser"):
                session.config_set(name, "")
            self._encrypt(session, None)
            held = self._access.secrets().held
            self._write(source=None, synced=True, held=hold)
            if held and not hold:
                session.let_in()

    def _hold(self, session: Session) -> None:
        self._write(held=True)
        session.let_in()

    def stop_receiving(self) -> rm.Position:
        """Get no changes any more; return the position of the last one that came."""
        with self._access.lock, self._server.session() as session:
            history, silent = _last_word(session)
            if self._access.secrets().source is not None:
                # before it is one that nobody writes to but its source
                self._hold(session)
                session.run("REPLICAOF", "NO", "ONE")
            if not self._access.secrets().synced:
                return rm.Position(position="", progress=-1)
            return msgspec.structs.replace(_position(session), history=history, silent=silent)

    def receive_again(self) -> None:
        """Get changes again, if a source is followed."""
        with self._access.lock, self._server.session() as session:
            source = self._access.secrets().source
            if source is not None:
                session.run("REPLICAOF", source.host, source.port)
                self._write(held=False)
                session.let_in()

    def reaches(self, position: str, seconds: float) -> bool:
        """Return whether all changes up to a position are here, after some time.

        :raises BadRequest: it is none
        """
        history, _, offset = position.partition(":")
        if not offset.isdecimal():
            raise BadRequest("A position is a history and a number in it.")
        deadline = time.monotonic() + seconds
        with self._server.session() as session:
            while True:
                if _has(session.info("replication"), history, int(offset)):
                    return True
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL_SECONDS)

    def trouble(self, seconds: float) -> str:
        """Return why a replica does not follow its source; empty if it does, or is none.

        What its source says of who may come in is taken over.

        :param seconds: how long the server may take to answer
        """
        before, self.state = self.state, {}
        try:
            secrets = self._access.secrets()
            source = secrets.source
            if secrets.held:
                # one that was halted has what it had, and may be the only one
                self.state = only_progress(before) if source is not None else {}
                return _HELD
            if source is None:
                return ""
            with self._server.session(seconds) as session:
                # one that was started again may have less than it had
                reason = self._see(session.info("replication"), source, synced=secrets.synced,
                                   run=session.info("server")["run_id"])
                if not reason:
                    self._take_over(source, secrets.root, session)
                return reason
        except (GuestError, OSError) as err:
            LOG.warning("it cannot be told whether the replica follows: %s", err)
            self.state = self.state or only_progress(before)
            return ""

    def _see(self, found: Mapping[str, Any], source: Source, *, synced: bool,
             run: str) -> str:
        """Note what a replica tells of itself, see ``rm.REPLICATION``; return what is wrong.

        What it hears it applies at once: it is behind by the time since it last heard its source,
        at most.  That says something every second, unless its owner wants it otherwise.

        :param synced: it has had all data of its source
        :param run: of the server
        """
        if found["role"] != "slave":
            return _STARVED
        reason, silent = _word_of(found), int(found["master_last_io_seconds_ago"])
        # the link with one that is gone stays for long
        answered = (not reason and silent < _SILENCE_SECONDS) or is_answered(
            source.host, source.port, _PING)
        if not reason and not answered:
            reason = _STARVED
        connected = not reason
        if connected:
            self._word.hear(source.host, source.port, silent, run)
        unheard, last_lag = self._word.look(source.host, source.port, run)
        self.state = {
            "lag": silent if connected else None,
            "position": f"{found['master_replid']}:{found['slave_repl_offset']}",
            rm.CONNECTED: connected, rm.APPLIES: connected or synced, rm.LAST_LAG: last_lag}
        if connected or synced:
            self.state |= {rm.PROGRESS: int(found["slave_repl_offset"]),
                           rm.HISTORY: str(found["master_replid"])}
        # one that refuses, or that is copied, lives
        if not answered and unheard is not None:
            self.state[rm.UNHEARD] = unheard
        return reason

    def _take_over(self, source: Source, before: str | None, session: Session) -> None:
        """Take over what the source says, unless somebody told it meanwhile.

        :param before: what was known of root when the source was not asked yet
        """
        root = _ask_root(source, self._tls.trusted, _SOON_SECONDS)
        with self._access.lock:
            now = self._access.secrets()
            if now.source == source and not now.synced:
                self._access.change(synced=True)
            if now.source == source and now.root == before != root:
                self._write(root=root)
                session.let_in()


def _ask_root(source: Source, trusted: pathlib.Path | None,
              seconds: float = _ASK_SECONDS) -> str | None:
    """Return the digest of the password that clients of a source need; None: they need none.

    :param trusted: file of what it is verified with, over TLS
    :param seconds: how long each of its answers may take
    :raises GuestError: it does not tell
    """
    try:
        with redis.Redis(
                source.host, source.port, username=source.user,
                password=source.password.reveal(), socket_timeout=seconds,
                socket_connect_timeout=seconds, decode_responses=True, protocol=2,
                retry=Retry(NoBackoff(), 0), single_connection_client=True,
                # its certificate may be for other names, and Redis itself looks at none
                ssl=source.encrypted, ssl_ca_certs=str(trusted) if trusted else None,
                ssl_check_hostname=False) as client:
            return root_of(client.execute_command("ACL", "GETUSER", DEFAULT))
    except (redis.RedisError, OSError) as err:
        raise GuestError(_STARVED) from err


def _word(session: Session) -> str:
    """Return why the server does not follow its source, by its own word."""
    return _word_of(session.info("replication"))


def _word_of(found: Mapping[str, Any]) -> str:
    if found.get("master_link_status") == "up":
        return ""
    return _COPIES if found.get("master_sync_in_progress") else _STARVED


def _has(found: Mapping[str, Any], history: str, offset: int) -> bool:
    """Return whether a server has all changes of a history up to a number."""
    if str(found["master_replid"]) == history:
        if found["role"] == "slave":
            return not _word_of(found) and int(found["slave_repl_offset"]) >= offset
        return int(found["master_repl_offset"]) >= offset
    # its own history goes on from here; it counts also what changes nothing
    return (found["role"] == "master" and str(found["master_replid2"]) == history
            and int(found["second_repl_offset"]) > offset)


def _last_word(session: Session) -> tuple[str, int | None]:
    """Return the history that a server got changes of, and since when it got none, in seconds."""
    found = session.info("replication")
    if found["role"] != "slave":
        return str(found["master_replid2"]), None
    # the other end of a link may be gone for some time
    silent = int(found.get("master_link_down_since_seconds",
                           found["master_last_io_seconds_ago"]))
    return str(found["master_replid"]), silent if silent >= 0 else None


def _position(session: Session) -> rm.Position:
    """Return the position of the last change, which is told with the history that it is of."""
    found = session.info("replication")
    name = "slave_repl_offset" if found["role"] == "slave" else "master_repl_offset"
    return rm.Position(position=f"{found['master_replid']}:{found[name]}",
                       progress=int(found[name]))


def _check_kept(session: Session) -> None:
    """Refuse a source that begins empty after it ended: its replicas would be empty, too."""
    if not session.config_get("save")["save"] and (
            session.config_get("appendonly")["appendonly"] != "yes"):
        raise UnprocessableEntity(
            "The source keeps no data on its volume, and would empty its replicas when it is "
            "restarted: its configuration group must set save or appendonly.")
