"""Talking to the server as the agent's user."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.experimental.redis.access import ADMIN, DEFAULT, Access

#: seconds that an answer may take
ANSWER_SECONDS = 30
_POLL_SECONDS = 0.1
_FIRST_WORD_SECONDS = 0.5
_FULL = b"max number of clients"
#: what the server says while it writes another file
_BUSY = re.compile(r"already in progress|child process is active")


class Server:
    """The server behind its socket.

    :param path: of the socket
    """

    def __init__(self, path: str, access: Access) -> None:
        self._socket = path
        self._access = access

    @contextlib.contextmanager
    def session(self, seconds: float = ANSWER_SECONDS) -> Iterator[Session]:
        """Give a connection.

        :param seconds: that each answer may take
        :raises GuestError: the server cannot be asked, or refuses
        """
        try:
            with self.connect(seconds) as client:
                yield Session(client, self._access)
        except redis.RedisError as err:
            raise GuestError(f"The database refuses: {err}") from err

    def is_full(self) -> bool:
        """Return whether the server sends clients away because there are too many.

        It does so before they have said anything; who speaks first may not get to read it.
        """
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(_FIRST_WORD_SECONDS)
                client.connect(self._socket)
                return _FULL in client.recv(200)
        except OSError:
            return False

    def connect(self, seconds: float) -> redis.Redis:
        """Return a client that raises its own errors; close it.

        :raises GuestError: the agent has no account
        """
        secrets = self._access.secrets()
        return redis.Redis(
            unix_socket_path=self._socket, username=ADMIN, password=secrets.password.reveal(),
            socket_timeout=seconds, socket_connect_timeout=seconds, decode_responses=True,
            protocol=2, retry=Retry(NoBackoff(), 0), single_connection_client=True)


class Session:
    """A connection, with the calls that the agent needs."""

    def __init__(self, client: redis.Redis, access: Access) -> None:
        self._client: Any = client
        self._access = access

    def run(self, *words: str | int) -> Any:
        """Run a command and return its answer."""
        return self._client.execute_command(*words)

    def let_in(self) -> None:
        """Have clients come in as the secrets say; who came in otherwise leaves."""
        self.run("ACL", "SETUSER", DEFAULT, *self._access.rules())
        self.run("CLIENT", "KILL", "USER", DEFAULT)

    def info(self, section: str) -> Mapping[str, Any]:
        """Return a section of ``INFO``."""
        found: Mapping[str, Any] = self._client.info(section)
        return found

    def config_get(self, pattern: str = "*") -> dict[str, str]:
        """Return settings in force."""
        name = self._access.secrets().config_name.reveal()
        flat = self._client.execute_command(name, "GET", pattern)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def config_set(self, setting: str, value: str) -> None:
        """Change a setting of the running server.

        An append-only file is complete when this returns: a server that ended before would
        begin empty.

        :raises GuestError: it refuses the value
        """
        name = self._access.secrets().config_name.reveal()
        try:
            self._client.execute_command(name, "SET", setting, value)
        except redis.ResponseError as err:
            # its text has the name of the command
            why = str(err).rpartition(" - ")[2].replace(name, "CONFIG")
            raise GuestError(f"The database refuses the value of {setting}: {why}") from err
        if setting == "appendonly" and value == "yes":
            self._wait_for_file()

    def snapshot(self, path: pathlib.Path, check: Callable[[], None]) -> bool:
        """Have the server write a snapshot beside its work; return whether it could.

        :param path: of the snapshot
        :param check: called while it is waited for; raises if that is to end
        """
        self._wait_for_writing(check)
        before = _file(path)
        # one that another began since then will do
        while _file(path) in (before, None):
            begun = self._begin_snapshot()
            time.sleep(_POLL_SECONDS)
            self._wait_for_writing(check)
            if begun and _file(path) in (before, None):
                return False
        return True

    def _begin_snapshot(self) -> bool:
        """Have the server write a snapshot; return False if it is at another file."""
        try:
            self.run("BGSAVE")
        except redis.ResponseError as err:
            if _BUSY.search(str(err)):
                return False
            raise
        return True

    def _wait_for_writing(self, check: Callable[[], None]) -> None:
        """Wait until the server writes no file beside its work."""
        while True:
            check()
            now = self.info("persistence")
            if not (now["rdb_bgsave_in_progress"] or now["aof_rewrite_in_progress"]):
                return
            time.sleep(_POLL_SECONDS)

    def _wait_for_file(self) -> None:
        while (now := self.info("persistence"))["aof_rewrite_in_progress"] or now[
                "aof_rewrite_scheduled"]:
            time.sleep(_POLL_SECONDS)
        if now["aof_last_bgrewrite_status"] != "ok":
            self.config_set("appendonly", "no")
            raise GuestError("The database could not write its append-only file; its log says "
                             "why.")


def _file(path: pathlib.Path) -> tuple[int, int] | None:
    """Return what tells a file from another one that had its name; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
