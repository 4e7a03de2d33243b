"""Who is on the bus, and which secrets two of them share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

from oslo_config import cfg

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


class Keys(Protocol):
    """Where a process finds the secrets it shares with others."""

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        """Return the secrets shared with a guest, or by the control plane for None.

        Newest first; empty when there are none (an unknown instance).
        """


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


class GuestKeys:
    """A guest's own secrets; it shares them with the control plane only.

    :raises KeysMissing: the agent's configuration has none
    """

    def __init__(self, conf: cfg.ConfigOpts, instance_id: str) -> None:
        if not conf.instance_rpc_encr_key:
            raise KeysMissing("instance_rpc_encr_key is not configured")
        self._instance_id = instance_id
        self._secrets = tuple(conf.instance_rpc_encr_key)

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        return self._secrets if instance_id == self._instance_id else ()


@functools.lru_cache(maxsize=4096)
def derived(secret: str) -> tuple[str, bytes]:
    """Return id (hex) and AES key of a configured secret.

    Pure, and kept because HKDF would cost more than the encryption itself.
    """
    key = derive_key(secret, _PURPOSE)
    return key_id(key).hex(), key
