"""Who is on the bus, and which secrets two of them share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from trove_ng.common.crypto import derive_key, key_id

TASKMANAGER = "taskmanager"
CONDUCTOR = "conductor"
API = "api"
_GUEST = "guest:"

_PURPOSE = "rpc"


def guest(instance_id: str) -> str:
    """Return the party name of an instance's agent."""
    return _GUEST + instance_id


def instance_of(party: str) -> str | None:
    """Return the instance id of a guest's party name, None for another party."""
    return party[len(_GUEST):] if party.startswith(_GUEST) else None


def instance_between(one: str, other: str) -> str | None:
    """Return the instance whose key two parties use, None for the control plane's."""
    return instance_of(one) or instance_of(other)


#: parties that are told things by casts, and never answer
TOLD_ONLY = frozenset({TASKMANAGER, CONDUCTOR})


def may_ask(sender: str, receiver: str) -> bool:
    """Return whether a party has anything to ask another.

    Guests speak to the conductor only, and nobody else does.
    """
    return (instance_of(sender) is not None) == (receiver == CONDUCTOR)


class Keys(Protocol):
    """Where a process finds the secrets it shares with others."""

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        """Return the secrets shared with a guest, or by the control plane for None.

        The one to seal with first, then others that are understood; empty when there
        are none (an unknown instance).
        """


@runtime_checkable
class Renewable(Protocol):
    """Keys whose source may have newer ones than what is kept in memory."""

    def look_again(self, instance_id: str) -> None:
        """Read a guest's secrets anew, for a message with a key that is not known."""

    def forget(self, instance_id: str) -> None:
        """Read a guest's secrets anew at their next use, whatever is known."""


class KeysMissing(Exception):
    """The configuration has no keys; the service must not start."""


class ControlPlaneKeys:
    """The control plane's own secrets, without any guest's."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise KeysMissing("taskmanager_rpc_encr_key is not configured; "
                              "'trove-manage generate_keys' makes one")
        self._secrets = tuple(secrets)

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        return () if instance_id else self._secrets


def find(provider: Keys, instance_id: str | None, kid: str) -> bytes | None:
    """Return the AES key that an id names, None if it is not shared."""
    def look() -> bytes | None:
        return dict(derived(secret) for secret in provider.secrets(instance_id)).get(kid)

    found = look()
    if found is None and instance_id and isinstance(provider, Renewable):
        # also when it was looked for just now: another thread may have found it
        provider.look_again(instance_id)
        found = look()
    return found


@functools.lru_cache(maxsize=4096)
def derived(secret: str) -> tuple[str, bytes]:
    """Return id (hex) and AES key of a configured secret.

    Pure, and kept because HKDF would cost more than the encryption itself.
    """
    key = derive_key(secret, _PURPOSE)
    return key_id(key).hex(), key
