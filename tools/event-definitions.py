#!/usr/bin/env python3
"""Write etc/ceilometer/trove_event_definitions.yaml from the table of notifications."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "etc/ceilometer/trove_event_definitions.yaml"
HEAD = """\
# Traits of the database service's notifications, to be added to Ceilometer's
# event_definitions.yaml.  Made by tools/event-definitions.py.
"""

_NUMBERS = frozenset({"volume_size", "new_size", "instance_size", "old_volume_size",
                      "old_instance_size", "replica_count", "in_use", "reserved", "limit"})
_MOMENTS = frozenset({"launched_at", "created_at", "deleted_at", "modify_at", "updated",
                      "audit_period_beginning", "audit_period_ending"})


def main() -> int:
    """Write the file."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render())
    return 0


def render() -> str:
    """Return the definitions."""
    return HEAD + yaml.safe_dump(definitions(), sort_keys=False, width=99)


def definitions() -> list[dict[str, Any]]:
    """Return the traits of all event types; those with the same ones stand together."""
    sys.path.insert(0, str(ROOT))
    from trove_ng.common import notifications as told

    keys = {event.type(phase): event.keys(phase)
            for event in told.EVENTS.values() for phase in told.Phase} | dict(told.FACTS)
    types: dict[tuple[str, ...], list[str]] = {}
    for name in keys:
        types.setdefault(keys[name], []).append(name)
    return [{"event_type": names, "traits": {
        _trait(names[0], key): {**_type(key), "fields": f"payload.{key}"} for key in of}}
        for of, names in types.items()]


def _trait(event_type: str, key: str) -> str:
    # what is told of an instance is told of it as a resource
    return "resource_id" if key == "instance_id" and event_type.startswith("trove.") else key


def _type(key: str) -> dict[str, str]:
    if key in _NUMBERS:
        return {"type": "int"}
    return {"type": "datetime"} if key in _MOMENTS else {}


if __name__ == "__main__":
    sys.exit(main())
