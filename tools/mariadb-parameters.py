#!/usr/bin/env python3
"""Write what owners may set of MariaDB, as the installed server itself describes it.

usage: tools/mariadb-parameters.py [FILE]

A server of this program's own tells types, limits and what it takes at run time; the program's
help tells what it takes from a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import mariadb  # noqa: E402
from trove_ng.datastores.mariadb import DATASTORE  # noqa: E402
from trove_ng.datastores.mariadb.reserved import LEFT_OUT  # noqa: E402
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import (  # noqa: E402
    MariaDbDialect,
)

TARGET = Path(__file__).parents[1] / "trove_ng/datastores/mariadb/validation-rules.json"
_NUMBERS = {"INT": int, "BIGINT": int, "DOUBLE": float}
#: where the server's own account is not the whole one
_OTHERWISE: dict[str, dict[str, Any]] = {
    # a running server neither takes DISABLED nor has a use for ORIGINAL
    "event_scheduler": {"type": "boolean"},
    # the server writes all of it at once
    "innodb_log_file_size": {"max": 512 * 1024 ** 3},
    # it is memory
    "innodb_log_buffer_size": {"max": 2 * 1024 ** 3 - 4096},
    # the others are plug-ins
    "innodb_compression_algorithm": {"choices": ["none", "zlib"]},
    # a server that was started without the cache does not begin to use it
    "query_cache_type": {"type": "integer", "min": 0, "max": 2, "restart_required": True},
}


def _options() -> set[str]:
    """Return what the server takes from its file."""
    said = subprocess.run(["mariadbd", "--no-defaults", "--help", "--verbose"],
                          capture_output=True, text=True, timeout=60, check=True).stdout
    return {line.partition(" ")[0].replace("-", "_").lower()
            for line in said.partition("\n---")[2].splitlines()}


def _describe(row: tuple[Any, ...]) -> dict[str, Any]:
    name, kind, low, high, block, choices, read_only = row
    number = _NUMBERS.get(kind.partition(" ")[0])
    entry: dict[str, Any] = {"name": name, "type": "boolean" if kind == "BOOLEAN" else "string"}
    if number is not None:
        entry |= {"type": "float" if number is float else "integer",
                  "min": number(low), "max": number(high)}
        # it rounds down to whole blocks
        if block and int(block) > 1:
            entry["max"] -= entry["max"] % int(block)
    elif kind == "ENUM" and choices:
        entry["choices"] = choices.split(",")
    entry["restart_required"] = read_only == "YES"
    if other := _OTHERWISE.get(name):
        entry.pop("choices", None)
        entry |= other
    return entry


def described(server: mariadb.Server) -> list[dict[str, Any]]:
    """Return what owners may set of a server."""
    known = _options()
    rows = server.execute(
        "SELECT LOWER(VARIABLE_NAME), VARIABLE_TYPE, NUMERIC_MIN_VALUE, NUMERIC_MAX_VALUE, "
        "NUMERIC_BLOCK_SIZE, ENUM_VALUE_LIST, READ_ONLY FROM information_schema.SYSTEM_VARIABLES "
        "WHERE VARIABLE_SCOPE <> 'SESSION ONLY' ORDER BY LOWER(VARIABLE_NAME)")
    return [_describe(row) for row in rows
            if MariaDbDialect.renamed.get(row[0], row[0]) in known
            and not DATASTORE.owns(row[0]) and row[0] not in LEFT_OUT]


def main() -> None:
    """Run a server and ask it."""
    with mariadb.server() as server:
        found = described(server)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(json.dumps({"configuration-parameters": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
