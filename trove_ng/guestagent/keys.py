"""The agent's keys on the bus: the one it was born with, and those it was given since."""

from __future__ import annotations

import logging
import pathlib
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from trove_ng.guestagent.os import files
from trove_ng.rpc import keys
from trove_ng.rpc import messages as m

LOG = logging.getLogger(__name__)


class _Key(msgspec.Struct):
    """A key that is remembered; ``until`` is Unix time in seconds, None is for good."""

    secret: str
    until: float | None = None


class _Memory(msgspec.Struct):
    """The file: keys, the one to seal with first, and ids of configured ones replaced."""

    keys: list[_Key] = []
    replaced: list[str] = []


class AgentKeys:
    """What this instance shares with the control plane.

    A key that was given over the bus is on the disk before it is used, so that an agent
    that is killed at any moment still understands, and is understood.

    :param configured: ``instance_rpc_encr_key``
    :param path: where given keys are remembered
    :raises trove_ng.rpc.keys.KeysMissing: there is no key at all
    """

    def __init__(self, configured: Sequence[str], instance_id: str, path: pathlib.Path,
                 now: Callable[[], float] = time.time) -> None:
        self._configured = tuple(configured)
        self._instance_id = instance_id
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._memory = self._read()
        if not self._all():
            raise keys.KeysMissing("instance_rpc_encr_key is not configured")

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        """Return what is understood at present, the one to seal with first."""
        return self._all() if instance_id == self._instance_id else ()

    def change(self, request: m.KeyRequest) -> m.Empty:
        """Use another key from now on, and forget the ones before when told so."""
        new = request.key.reveal()
        with self._lock:
            before = [one for one in self._known() if one.secret != new]
            if request.forget_after is not None:
                end = self._now() + request.forget_after
                before = [_Key(one.secret, min(end, one.until or end)) for one in before]
            memory = _Memory([_Key(new), *before],
                             [keys.derived(one)[0] for one in self._configured])
            files.make_directory(self._path.parent, mode=0o700)
            files.write_bytes(self._path, msgspec.json.encode(memory), mode=0o600)
            self._memory = memory
        LOG.info("another key is used on the bus from now on")
        return m.Empty()

    def _all(self) -> tuple[str, ...]:
        return tuple(one.secret for one in self._known())

    def _known(self) -> list[_Key]:
        memory, now = self._memory, self._now()
        # a configured one that was not replaced came with a new configuration
        fresh = [_Key(one) for one in self._configured
                 if keys.derived(one)[0] not in memory.replaced]
        return fresh + [one for one in memory.keys if one.until is None or one.until > now]

    def _read(self) -> _Memory:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Memory)
        except FileNotFoundError:
            return _Memory()
        except msgspec.MsgspecError:
            LOG.error("%s cannot be read: the configured key is used", self._path)
            return _Memory()
