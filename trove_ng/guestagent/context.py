"""What a datastore manager is given by the agent."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Protocol

from oslo_config import cfg

from trove_ng.common.clock import Clock
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.services import ServiceControl
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.rpc.messages import Heartbeat, StepReport


class Reporter(Protocol):
    """Where reports go: the conductor's client, or a recorder in tests."""

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send; raises when the bus does not take it."""

    def report_step(self, report: StepReport) -> None:
        """Send; raises when the bus does not take it."""


@dataclasses.dataclass(frozen=True)
class AgentContext:
    """The outside world of a manager.

    :param conf: the agent's configuration
    :param instance_id: instance that this agent serves
    :param services: starts and stops system services
    :param volumes: mounts, formats and grows volumes
    :param reporter: way to the conductor
    :param state_dir: directory on the root disk for what must be remembered
    """

    conf: cfg.ConfigOpts
    instance_id: str
    clock: Clock
    services: ServiceControl
    volumes: VolumeManager
    reporter: Reporter
    state_dir: pathlib.Path

    def scratch(self) -> pathlib.Path:
        """Return the directory for what need not outlast this life of the agent.

        It is on the root disk, made if need be, and emptied when the agent starts.
        """
        folder = self.state_dir / "scratch"
        files.make_directory(folder, mode=0o700)
        return folder
