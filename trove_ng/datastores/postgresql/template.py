"""Settings of PostgreSQL that follow from the server's memory, and others than its own."""

from __future__ import annotations

from typing import Any

SECTION = "postgresql"


def config(memory_mb: int, _version: str = "") -> dict[str, dict[str, Any]]:
    """Return the settings for an amount of memory.

    A quarter of it is the server's own cache; the system's caches the same files again.  Each
    connection is a process of some MiB, whose sorts take ``work_mem`` each.

    :param memory_mb: MiB
    """
    connections = max(50, min(1000, memory_mb // 8))
    return {SECTION: {
        "shared_buffers": f"{max(32, memory_mb // 4)}MB",
        "effective_cache_size": f"{max(64, memory_mb * 5 // 8)}MB",
        "max_connections": connections,
        "work_mem": f"{max(1, memory_mb // (2 * connections))}MB",
        # a replica takes its source for gone after that much silence; it asks in half of that
        "wal_receiver_timeout": "4s",
        "maintenance_work_mem": f"{max(16, min(1024, memory_mb // 16))}MB",
    }}
