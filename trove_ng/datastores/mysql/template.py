"""Settings that follow from the server's memory."""

from __future__ import annotations

from typing import Any

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.mysql import versions


def config(memory_mb: int, _version: str = "") -> dict[str, dict[str, Any]]:
    """Return the settings for an amount of memory.

    Half of a small server's memory, and up to 70 % of a large one's, is the buffer pool:
    connections, the agent and a backup need the rest.

    :param memory_mb: MiB
    """
    share = 0.5 if memory_mb < 4096 else 0.7
    buffer_pool = max(64, int(memory_mb * share) // 8 * 8)
    # a connection may take some MiB
    connections = max(50, min(5000, memory_mb // 8))
    log_file = max(32, min(4096, buffer_pool // 4))
    return {"mysqld": {
        "innodb_buffer_pool_size": f"{buffer_pool}M",
        "innodb_log_file_size": f"{log_file}M",
        "max_connections": connections,
        "table_open_cache": max(400, min(10000, memory_mb // 2)),
        "thread_cache_size": max(8, min(256, memory_mb // 64)),
        "key_buffer_size": f"{max(8, min(256, memory_mb // 64))}M",
        "tmp_table_size": f"{max(16, min(512, memory_mb // 32))}M",
        "max_heap_table_size": f"{max(16, min(512, memory_mb // 32))}M",
        "performance_schema": "ON" if memory_mb >= 2048 else "OFF",
    }}


def mysql_config(memory_mb: int, version: str = "") -> dict[str, dict[str, Any]]:
    """Return the settings of MySQL for an amount of memory.

    :param memory_mb: MiB
    :param version: one that is not known is taken for one that has the redo log's capacity
    """
    settings = config(memory_mb)
    options = settings["mysqld"]
    try:
        old = versions.series(version) == "5.7"
    except BadRequest:
        old = False
    if not old:
        # before, it was that of one of two files
        size = int(options.pop("innodb_log_file_size").removesuffix("M"))
        options["innodb_redo_log_capacity"] = f"{2 * size}M"
    return settings
