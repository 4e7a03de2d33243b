#!/usr/bin/env python3
"""Write what owners may set of PostgreSQL, as the installed server itself describes it.

usage: tools/postgresql-parameters.py [FILE]

``postgres --describe-config`` leaves settings out, so that a server of this program's own is
asked: ``pg_settings`` has types, limits and when a setting takes effect.  The server is of
version 15; how the others differ is from their release notes, and stands in ``OTHERS``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import postgresql  # noqa: E402
from trove_ng.datastores.postgresql import DATASTORE  # noqa: E402

TARGET = Path(__file__).parents[1] / "trove_ng/datastores/postgresql/validation-rules.json"
#: of the server that is asked
VERSION = "15"
_KINDS = {"bool": "boolean", "integer": "integer", "real": "float", "string": "string",
          "enum": "string"}
#: a limit that is none
_HUGE = 1e300
#: what stands with other versions, or instead of what the server says
OTHERS = Path(__file__).with_name("postgresql-versions.json")
_VERSIONS = [str(one) for one in range(12, 19)]


def _describe(row: tuple[Any, ...]) -> dict[str, Any]:
    name, vartype, low, high, choices, context, unit = row
    entry: dict[str, Any] = {"name": name.lower(), "type": _KINDS[vartype]}
    number = {"integer": int, "real": float}.get(vartype)
    if number is not None:
        for key, limit in (("min", low), ("max", high)):
            if abs(float(limit)) < _HUGE:
                entry[key] = number(limit)
    if vartype == "enum":
        entry["choices"] = sorted(choices)
    entry["restart_required"] = context == "postmaster"
    if unit:
        entry["description"] = f"The unit is {unit}."
    return entry


def of_versions(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries with the versions that they are for, and those of other versions."""
    others = json.loads(OTHERS.read_text())
    # what an update brought: the installed server may be of an earlier one, or have it
    updated = {one["name"] for one in others["more"] if VERSION in one["versions"]}
    found = [entry for entry in found if entry["name"] not in updated]
    for entry in found:
        entry |= others["changes"].get(entry["name"], {})
        first, last = others["spans"].get(entry["name"], ["12", "18"])
        if [first, last] != ["12", "18"]:
            entry["versions"] = [one for one in _VERSIONS if first <= one <= last]
    return sorted(found + others["more"], key=lambda entry: str(entry["name"]))


def described(server: postgresql.Server) -> list[dict[str, Any]]:
    """Return what owners may set, as a server tells it and with what other versions have."""
    rows = server.execute(
        "SELECT name, vartype, min_val, max_val, enumvals, context, unit FROM pg_settings "
        "WHERE context <> 'internal' AND name NOT LIKE '%.%' "
        "ORDER BY lower(name) COLLATE \"C\"")
    return of_versions([_describe(row) for row in rows if not DATASTORE.owns(row[0])])


def main() -> None:
    """Run a server and ask it."""
    with postgresql.running() as server:
        found = described(server)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(json.dumps({"configuration-parameters": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
