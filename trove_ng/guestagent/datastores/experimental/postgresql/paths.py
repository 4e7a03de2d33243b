"""Where a PostgreSQL server keeps what, as Debian's packages have it."""

from __future__ import annotations

import dataclasses
import pathlib
import re

#: where the packages of all versions put their programs
PROGRAMS = "/usr/lib/postgresql"
#: what the agent plans with where no server is installed
_USUAL = "15"


def installed_version(programs: str = PROGRAMS) -> str:
    """Return the newest major version whose server is installed, for example ``15``."""
    found = [path.parts[-3] for path in pathlib.Path(programs).glob("*/bin/postgres")
             if re.fullmatch(r"[0-9]{2,3}", path.parts[-3])]
    return max(found, key=int, default=_USUAL)


@dataclasses.dataclass(frozen=True)
class Paths:
    """The places.

    :param mount: where the data volume is mounted; the data are in a directory on it
    :param version: major version of the server
    :param etc: directory of the server's files, one below the other per version
    :param run: directory of the socket
    :param log: directory of the log that the server writes, unless its supervisor does
    """

    mount: str = "/var/lib/postgresql"
    version: str = _USUAL
    etc: str = "/etc/postgresql"
    run: str = "/run/postgresql"
    log: str = "/var/log/postgresql"
    port: int = 5432

    def program(self, name: str) -> str:
        """Return the path of one of the server's programs."""
        return f"{PROGRAMS}/{self.version}/bin/{name}"

    @property
    def config_dir(self) -> pathlib.Path:
        """The directory with the files that the server reads."""
        return pathlib.Path(self.etc, self.version, "main")

    @property
    def config(self) -> pathlib.Path:
        """The base of its settings."""
        return self.config_dir / "postgresql.conf"

    @property
    def changes(self) -> pathlib.Path:
        """The directory of changes over the base."""
        return self.config_dir / "trove.d"

    @property
    def draft(self) -> pathlib.Path:
        """What the server's program looks through before it becomes a change."""
        return self.config_dir / "trove-draft.conf"

    @property
    def password_file(self) -> pathlib.Path:
        """The password that a replica has at its source, for the server."""
        return self.config_dir / "source.pgpass"

    @property
    def standby_signal(self) -> pathlib.Path:
        """What makes the server one that follows, and is gone when it is promoted."""
        return self.data / "standby.signal"

    @property
    def pid_file(self) -> str:
        """Where the server writes its process id; its unit looks there."""
        return f"{self.run}/{self.version}-main.pid"

    @property
    def error_log(self) -> pathlib.Path:
        """The server's log."""
        return pathlib.Path(self.log, "server.log")

    @property
    def data(self) -> pathlib.Path:
        """The data directory."""
        return pathlib.Path(self.mount) / "data"

    @property
    def staging(self) -> pathlib.Path:
        """Where a backup is put together before it becomes the data directory."""
        return pathlib.Path(self.mount) / "restore"
