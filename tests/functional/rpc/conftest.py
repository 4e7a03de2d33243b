"""A bus inside the process, and keys for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from oslo_config import cfg

from trove_ng.conf import rpc as rpc_conf
from trove_ng.rpc.transport import get_transport


class Ring:
    """Keys of guests by instance id, and of the control plane."""

    def __init__(self, guests: Mapping[str, Sequence[str]],
                 control: Sequence[str] = ("c" * 32,)) -> None:
        self.guests = guests
        self.control = control

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        return self.guests.get(instance_id, []) if instance_id else self.control


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    """Configuration with the options of the bus."""
    made = cfg.ConfigOpts()
    rpc_conf.register(made)
    made([], project="trove")
    return made


@pytest.fixture
def transport(conf: cfg.ConfigOpts) -> Any:
    """A bus inside the process."""
    return get_transport(conf, "fake://")
