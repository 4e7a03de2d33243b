"""The agent on the bus: its calls come in here, its reports go out."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.dispatch import GuestHandler
from trove_ng.guestagent.keys import AgentKeys
from trove_ng.guestagent.requests import RequestFile
from trove_ng.rpc import faults, guest, keys, transport
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.endpoint import Caller, Endpoint, Handler, Method
from trove_ng.rpc.messages import Message
from trove_ng.rpc.refusals import Refusals


class AgentBus:
    """The bus as this instance's agent sees it.

    :raises KeysMissing: the configuration holds no key of this instance
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._state_dir = pathlib.Path(conf.state_path)
        self._keys = AgentKeys(conf.instance_rpc_encr_key, conf.guest_id,
                               self._state_dir / "keys.json")
        self._transport = transport.get_transport(conf)
        self._reporter = ConductorClient(self._transport, self._keys, conf.guest_id)
        self._refused = Refusals()

    @property
    def reporter(self) -> ConductorClient:
        """The way to the conductor."""
        return self._reporter

    def refused(self) -> dict[str, int]:
        """Return how many messages were refused for each reason since this was last asked."""
        return self._refused.fetch()

    def listen(self, table: Mapping[str, GuestHandler]) -> Any:
        """Serve this instance's topic.

        :param table: call name → handler, for every call of the guest call table but
            ``change_key``
        :return: the running server, with ``stop()`` and ``wait()``
        """
        age = self._conf.rpc_message_max_age
        endpoint = Endpoint(
            methods({**table, "change_key": self._keys.change}),
            keys.guest(self._conf.guest_id), self._keys, age,
            journal=RequestFile(self._state_dir / "requests", 2 * age),
            refused=self._refused)
        return transport.start_server(
            self._conf, self._transport, guest.topic(self._conf.guest_id),
            self._conf.guest_id, endpoint)


def methods(table: Mapping[str, GuestHandler]) -> dict[str, Method]:
    """Return the endpoint's table: the declared types, and who handles each call.

    :raises ValueError: a declared call has no handler, or the other way round
    """
    if set(table) != set(guest.GUEST_METHODS):
        raise ValueError("handlers and declared calls differ: "
                         f"{sorted(set(table) ^ set(guest.GUEST_METHODS))}")
    return {name: Method(declared.request, declared.answer, _handler(table[name]))
            for name, declared in guest.GUEST_METHODS.items()}


def _handler(work: GuestHandler) -> Handler:
    def handle(_caller: Caller, request: Message) -> Message:
        try:
            return work(request)
        except GuestError as err:
            if faults.crosses(err):
                raise
            # Kinds that only the agent knows cross as what they are a kind of.
            raise GuestError(err.message) from err

    return handle
