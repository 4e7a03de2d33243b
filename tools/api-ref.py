#!/usr/bin/env python3
"""Write doc/source/user/api-ref.rst: the route table, its schemas and the examples."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trove_ng.api.routes import ROUTES, Route

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
TARGET = ROOT / "doc/source/user/api-ref.rst"

_HEAD = """=============
API reference
=============

Made from the route table, the schemas of requests and :doc:`examples <examples>` by
``tools/api-ref.py``.  Paths are below ``/v1.0/{tenant_id}``; every request needs the header
``X-Auth-Token``.  Bodies are JSON; fields that must be there are marked with ``*``.
"""


def main() -> int:
    """Write the reference."""
    TARGET.write_text(text())
    return 0


def text() -> str:
    """Return the reference."""
    return "\n".join([_HEAD, *map(_route, ROUTES)])


def _route(route: Route) -> str:
    from tests.functional.api.examples import FOLDER, stem

    title = f"{route.method} {route.path}"
    lines = [title, "=" * len(title), "",
             f"Policy rule ``{route.rule}``, answers {route.success}"
             f"{' or 200' if route.partly is not None else ''}."]
    if route.query:
        lines += ["", "Query: " + ", ".join(f"``{name}``" for name in route.query) + "."]
    fields = list(_fields(route.request or {}))
    if fields:
        lines += ["", textwrap.fill(
            "Fields: " + ", ".join(f"``{name}``" for name in fields) + ".", 95)]
    for kind, words in (("request", "Request"), ("response", "Answer")):
        example = FOLDER / f"{stem(route)}-{kind}.json"
        if example.exists():
            lines += ["", f"{words}:", "",
                      f".. literalinclude:: examples/{example.name}", "   :language: json"]
    return "\n".join([*lines, ""])


def _fields(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Give the fields that a body may have; ``*`` marks those that it must have."""
    for name, inner in schema.get("properties", {}).items():
        here = f"{place}{name}"
        below = list(_fields(inner, f"{here}."))
        items = inner.get("items")
        if isinstance(items, dict):
            below += list(_fields(items, f"{here}[]."))
        yield here + ("*" if name in schema.get("required", ()) else "")
        yield from below
    for part in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _fields(part, place)


if __name__ == "__main__":
    sys.exit(main())
