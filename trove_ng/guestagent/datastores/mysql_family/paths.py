"""Where a server of the MySQL family keeps what."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Paths:
    """The places.

    :param mount: where the data volume is mounted; the data are in a directory on it
    :param binlog_mount: where that of binary logs is; by default below ``mount``
    :param user_log_mount: likewise, that of the logs of statements, and of errors
    :param base_config: our options
    :param include_config: a file that the server reads, by which it reads ours after all others
    :param other_config: another one that it reads, which is left without options if it is there
    :param changes: directory of changes over the base
    :param error_log: where the server writes its errors, unless its supervisor does
    :param init_file: what the server is told at a start, once
    """

    mount: str = "/var/lib/mysql"
    socket: str = "/run/mysqld/mysqld.sock"
    pid_file: str = "/run/mysqld/mysqld.pid"
    base_config: str = "/etc/mysql/trove.cnf"
    include_config: str = "/etc/mysql/mariadb.conf.d/99-trove.cnf"
    other_config: str = ""
    changes: str = "/etc/mysql/trove.d"
    init_file: str = "/run/mysqld/trove-init.sql"
    error_log: str = "/var/log/mysql/error.log"
    port: int = 3306
    binlog_mount: str = ""
    user_log_mount: str = ""

    @property
    def data(self) -> pathlib.Path:
        """The data directory."""
        return pathlib.Path(self.mount) / "data"

    @property
    def logs(self) -> pathlib.Path:
        """The directory of the logs of statements, on a volume of its own or not."""
        return pathlib.Path(self.mount, self.user_log_mount or "userlog") / "logs"

    @property
    def binlogs(self) -> pathlib.Path:
        """The directory of the binary logs, which are written if they have a volume."""
        return pathlib.Path(self.mount, self.binlog_mount or "binlog") / "logs"

    @property
    def general_log(self) -> pathlib.Path:
        """The log of all statements."""
        return self.logs / "general.log"

    @property
    def slow_log(self) -> pathlib.Path:
        """The log of slow statements."""
        return self.logs / "slow.log"

    @property
    def staging(self) -> pathlib.Path:
        """Where a backup is put together before it becomes the data directory."""
        return pathlib.Path(self.mount) / "restore"

    @property
    def increment(self) -> pathlib.Path:
        """Where a backup that continues another one is unpacked, until it is applied."""
        return pathlib.Path(self.mount) / "restore-increment"

    @property
    def lineage(self) -> pathlib.Path:
        """A file that names the data: backups continue each other only of the same."""
        return self.data / "trove-lineage"
