"""What the replication of all engines has in common."""

from __future__ import annotations

import logging
import pathlib
import socket
import time
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.os import files
from trove_ng.guestagent.server import PROBE_SECONDS
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm

LOG = logging.getLogger(__name__)

#: seconds that a source that sends nothing gets to say anything
_ASK_SECONDS = 1
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
_TRUE_FOR_LONG = ("position", rm.PROGRESS, rm.HISTORY)


def account_names(request: rm.ReplicaAccounts) -> set[str]:
    """Return the names of all accounts that a source is to have for replicas.

    :raises BadRequest: others would be touched
    """
    names = {*request.keep, *([request.add.name] if request.add is not None else [])}
    if any(not one.startswith(REPLICA_USERS) for one in names):
        raise BadRequest(f"The account of a replica is named {REPLICA_USERS}...")
    return names


def is_answered(host: str, port: int, question: bytes) -> bool:
    """Return whether anything answers at an address, whatever it says, or hangs up.

    :param question: what it would answer
    """
    try:
        with socket.create_connection((host, port), _ASK_SECONDS) as asked:
            asked.sendall(question)
            asked.recv(1)
    except ConnectionResetError:
        # TLS is spoken there
        return True
    except OSError:
        return False
    return True


def only_progress(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays true of a replica's state when its server does not answer."""
    return {name: state[name] for name in _TRUE_FOR_LONG if name in state}


class _Word(msgspec.Struct, frozen=True):
    """That a source was heard.

    :param lag: seconds that the replica was behind it
    :param boot: of the machine, in which this was
    :param up: seconds that the machine was up then
    :param at: the same by the wall clock
    :param server: run of the replica's server, where that loses by an end what it had
    """

    host: str
    port: int
    lag: int | None
    boot: str
    up: float
    at: float
    server: str


class LastWord:
    """When a replica last heard the source that it follows, also in an earlier life of the agent.

    It is kept where the agent is, not with the data: those may be another server's one day, or
    of some time ago, and what is not known only keeps a replica from saying that its source is
    lost.  Counting from the agent's start instead would have one say so that lost it long before.

    :param folder: where the agent keeps what it needs later
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / "last-word.json"
        self._last: _Word | None = None

    def hear(self, host: str, port: int, lag: int | None, server: str = "") -> None:
        """Note that a source is heard.

        :param lag: seconds that the replica is behind it
        :param server: run of the replica's server, without which this is nothing to a later agent
        """
        self._last = _Word(host, port, lag, _boot(), _up(), time.time(), server)
        try:
            files.write_bytes(self._path, msgspec.json.encode(self._last), mode=0o600,
                              durable=False)
        except OSError as err:
            LOG.warning("it cannot be noted when the source was heard: %s", err)

    def look(self, host: str, port: int, server: str = "") -> tuple[int | None, int | None]:
        """Return the seconds since a source was heard, and those that the replica was behind then.

        Both are None where it never was, as far as is known.
        """
        if self._last is None:
            self._last = self._recall(server)
        last = self._last
        if last is None or (last.host, last.port) != (host, port):
            return None, None
        return max(0, round(_up() - last.up)), last.lag

    def _recall(self, server: str) -> _Word | None:
        """Return what an earlier agent noted, in the time of this boot."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_Word)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as err:
            LOG.warning("it is not known when the source was heard: %s", err)
            return None
        if found.server != server:
            return None
        if found.boot == _boot():
            return found
        # only the wall clock goes on; it was before this boot, or that was set back
        ago = time.time() - found.at
        return msgspec.structs.replace(found, up=_up() - ago) if ago >= _up() else None


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


def _up() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Replication(Protocol):
    """How an engine follows, and is followed."""

    #: what :meth:`trouble` found when it was asked for the last time, see ``rm.REPLICATION``
    state: dict[str, Any]

    def follow(self, request: rm.FollowRequest) -> None:
        """Follow a source, and wait until its changes arrive."""

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas."""

    def detach(self, *, hold: bool = False) -> None:
        """Follow nobody any more, with all that was received, and let clients write.

        :param hold: clients may not write yet
        """

    def stop_receiving(self) -> rm.Position:
        """Get no changes any more; return the position when those that came are applied."""

    def receive_again(self) -> None:
        """Get changes again, if a source is followed."""

    def position(self) -> rm.Position:
        """Return the position of the last change, own or received."""

    def reaches(self, position: str, seconds: float) -> bool:
        """Return whether all changes up to a position are applied, after some time."""

    def trouble(self, seconds: int) -> str:
        """Return why a replica does not follow; empty if it does, or is none."""


class LiveReplication(Replication, Protocol):
    """The same of an engine whose servers need no restart to let nobody write, or all again."""

    def stop_writes(self) -> rm.Position:
        """Let no client write any more; return the position of the last change."""

    def allow_writes(self) -> None:
        """Let clients write."""


class ReplicaCalls:
    """The calls of a server manager that its engine's replication answers."""

    replication: Replication
    #: whether the server did when it was last asked
    answers: bool

    def replication_state(self) -> dict[str, Any]:
        """Return how far the replica was at the last look."""
        state = self.replication.state
        return state if self.answers else only_progress(state)

    def enable_as_source(self, request: m.StepRequest) -> m.Empty:
        """Do nothing: where no engine says otherwise every server can be a source."""
        return m.Empty()

    def follow(self, request: rm.FollowRequest) -> m.Empty:
        """Follow a source, and wait until its changes arrive."""
        self.replication.follow(request)
        return m.Empty()

    def set_replica_accounts(self, request: rm.ReplicaAccounts) -> m.Empty:
        """Have exactly these accounts for replicas."""
        self.replication.set_accounts(request)
        return m.Empty()

    def detach_replica(self, request: rm.DetachRequest) -> m.Empty:
        """Follow nobody any more, and let clients write unless they shall wait."""
        self.replication.detach(hold=request.hold)
        return m.Empty()

    def stop_receiving(self, request: m.StepRequest) -> rm.Position:
        """Get no changes any more, and say how far those go that came."""
        return self.replication.stop_receiving()

    def receive_again(self, request: m.StepRequest) -> m.Empty:
        """Get changes again."""
        self.replication.receive_again()
        return m.Empty()

    def get_position(self, request: m.Empty) -> rm.Position:
        """Say how far the changes go that the server has."""
        return self.replication.position()

    def wait_for_position(self, request: rm.PositionRequest) -> m.Flag:
        """Say whether the server has all changes up to a position, after some time."""
        return m.Flag(value=self.replication.reaches(request.position, request.seconds))

    def replication_trouble(self) -> str:
        """Return why a replica does not follow its source."""
        return self.replication.trouble(PROBE_SECONDS)


class LiveReplicaCalls(ReplicaCalls):
    """The same, with the calls of a :class:`LiveReplication`."""

    replication: LiveReplication

    def stop_writes(self, request: m.StepRequest) -> rm.Position:
        """Let no client write any more, and say where the last change is."""
        return self.replication.stop_writes()

    def allow_writes(self, request: m.StepRequest) -> m.Empty:
        """Let clients write."""
        self.replication.allow_writes()
        return m.Empty()
