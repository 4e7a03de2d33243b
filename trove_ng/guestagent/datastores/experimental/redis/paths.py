"""Where a Redis server keeps what."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Paths:
    """The places.

    :param mount: where the data volume is mounted; the data are in a directory on it
    :param config: the one file that the server reads
    :param changes: directory of what the file is made from
    :param socket: where the agent, and nobody else, talks to the server
    :param error_log: where the server writes, unless its supervisor does
    :param tls_port: for connections with TLS: one port cannot take both kinds
    """

    mount: str = "/var/lib/redis"
    config: str = "/etc/redis/redis.conf"
    changes: str = "/etc/redis/trove.d"
    socket: str = "/run/redis/redis-server.sock"
    pid_file: str = "/run/redis/redis-server.pid"
    error_log: str = "/var/log/redis/redis-server.log"
    port: int = 6379
    tls_port: int = 6380

    @property
    def data(self) -> pathlib.Path:
        """The data directory."""
        return pathlib.Path(self.mount) / "data"

    @property
    def snapshot(self) -> pathlib.Path:
        """What the server writes at once, and reads when it starts."""
        return self.data / SNAPSHOT


SNAPSHOT = "dump.rdb"
#: since 7.0, and before
APPEND_ONLY = ("appendonlydir", "appendonly.aof")
