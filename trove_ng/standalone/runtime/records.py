"""What the hypervisor keeps on disk about a server."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trove_ng.standalone.minicloud.hypervisor import HypervisorError, ServerSpec


@dataclass(frozen=True)
class ServerPlace:
    """The files of one server."""

    base: Path

    @property
    def prepared(self) -> Path:
        """Exists once the root is complete."""
        return self.base / "prepared"

    @property
    def record(self) -> Path:
        """See :class:`ServerRecord`."""
        return self.base / "record.json"

    @property
    def plan(self) -> Path:
        """What the last start was told."""
        return self.base / "plan.json"

    @property
    def pid_file(self) -> Path:
        """The identity of the first process."""
        return self.base / "process.json"

    @property
    def console(self) -> Path:
        """What the server wrote to its console."""
        return self.base / "console.log"

    @property
    def root(self) -> Path:
        """Where the root is mounted, in the server's namespace only."""
        return self.base / "root"

    @property
    def config_drive(self) -> Path:
        """The directory that the server sees as its config drive."""
        return self.base / "config-drive"

    def make(self) -> None:
        """Make the directories."""
        for path in (self.base, self.root):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write_config_drive(self, files: dict[str, bytes]) -> None:
        """Replace the content of the config drive; only root can read it.

        :raises HypervisorError: a path leaves the drive
        """
        shutil.rmtree(self.config_drive, ignore_errors=True)
        self.config_drive.mkdir(mode=0o700)
        for name, content in files.items():
            path = self.config_drive / name.lstrip("/")
            if ".." in path.parts:
                raise HypervisorError(f"The config drive has no place for {name!r}.")
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_bytes(content)


@dataclass
class ServerRecord:
    """What a server holds of the machine.

    ``ports`` maps a port id to the interface's name inside, ``volumes`` a device to
    a volume id. ``stopped`` is set when the server was stopped on request.
    """

    ports: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    @classmethod
    def of(cls, spec: ServerSpec) -> ServerRecord:
        """Return the record of a server that is about to start."""
        ports = {port.id: f"eth{number}" for number, port in enumerate(spec.ports)}
        return cls(ports, dict(spec.volumes))

    @classmethod
    def load(cls, place: ServerPlace) -> ServerRecord | None:
        """Read what :meth:`save` wrote; None when there is nothing."""
        try:
            return cls(**json.loads(place.record.read_text()))
        except FileNotFoundError:
            return None

    def save(self, place: ServerPlace) -> None:
        """Write it so that a reader never sees half of it."""
        partial = place.record.with_suffix(".new")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(place.record)

    def interface(self, port_id: str) -> str:
        """Return the port's interface inside the server, the next free one for a new port."""
        if port_id not in self.ports:
            taken = set(self.ports.values())
            number = next(n for n in range(1000) if f"eth{n}" not in taken)
            self.ports[port_id] = f"eth{number}"
        return self.ports[port_id]
