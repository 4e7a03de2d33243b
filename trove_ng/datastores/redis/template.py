"""Settings of Redis that follow from the server's memory."""

from __future__ import annotations

from typing import Any

SECTION = "redis"
_MB = 1024 * 1024


def config(memory_mb: int, _version: str = "") -> dict[str, dict[str, Any]]:
    """Return the settings for an amount of memory.

    While a snapshot or the append-only file is written, pages that change exist twice; the
    agent and the buffers of clients need something too.

    :param memory_mb: MiB
    """
    share = 0.5 if memory_mb < 1024 else 0.65
    return {SECTION: {
        "maxmemory": int(memory_mb * share) * _MB,
        "maxclients": max(100, min(10000, memory_mb * 4)),
        "repl-backlog-size": max(1, min(64, memory_mb // 64)) * _MB,
        # a replica is behind by the time since it heard its source, as far as it can tell
        "repl-ping-replica-period": 1,
    }}
