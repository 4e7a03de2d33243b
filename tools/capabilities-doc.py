#!/usr/bin/env python3
"""Write the matrix in doc/source/user/datastores.rst from the engines' declarations."""

from __future__ import annotations

import sys
from pathlib import Path

from trove_ng.datastores.base import Datastore, load_datastores
from trove_ng.domain.capabilities import MEANINGS, declared, values

TARGET = Path(__file__).parents[1] / "doc/source/user/datastores.rst"
BEGIN = ".. the matrix begins: made by tools/capabilities-doc.py\n"
END = ".. the matrix ends\n"


def main() -> int:
    """Write the matrix between its two marks."""
    head, _, rest = TARGET.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    TARGET.write_text(f"{head}{BEGIN}{render()}{END}{tail}")
    return 0


def render() -> str:
    """Return the matrix, and what each engine lacks and why."""
    engines = [one for _, one in sorted(load_datastores().items())]
    lines = ["", ".. list-table::", "   :header-rows: 1", ""]
    lines += _row(["Capability", *(one.manager for one in engines)])
    for name in MEANINGS:
        lines += _row([f"``{name}``", *(_cell(one, name) for one in engines)])
    for one in engines:
        lines += _lacks(one)
    return "\n".join(lines) + "\n\n"


def _row(cells: list[str]) -> list[str]:
    return [f"   {'* ' if not number else '  '}- {cell}" for number, cell in enumerate(cells)]


def _cell(engine: Datastore, name: str) -> str:
    if not declared(engine)[name]:
        return "no"
    since = [f"since {one.before}" for one in engine.lacks if one.name == name]
    return ", ".join(["yes", *since, *values(engine).get(name, [])])


def _lacks(engine: Datastore) -> list[str]:
    lines = [f"* ``{name}``: {why}" for name, why in engine.why_not.items()]
    lines += [f"* ``{one.name}`` before version {one.before}: {one.why}" for one in engine.lacks]
    return ["", f"What ``{engine.manager}`` lacks:", "", *lines] if lines else []


if __name__ == "__main__":
    sys.exit(main())
