#!/usr/bin/env python3
"""Write the table of commands in doc/source/user/clients.rst from the tests' steps."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "doc/source/user/clients.rst"
BEGIN = ".. the table begins: made by tools/clients-doc.py\n"
END = ".. the table ends\n"


def main() -> int:
    """Write the table between its two marks."""
    head, _, rest = TARGET.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    TARGET.write_text(f"{head}{BEGIN}{render()}{END}{tail}")
    return 0


def states() -> dict[str, str]:
    """Return what becomes of each command."""
    sys.path.insert(0, str(ROOT))
    from tests.integration.all_in_one.commands import LEGACY, NOT_YET, OPENSTACK

    found: dict[str, str] = {}
    for step in (*LEGACY, *OPENSTACK):
        who = "works, for administrators" if step.admin else "works"
        found.setdefault(step.command, step.note or who)
    return found | dict(NOT_YET)


def render() -> str:
    """Return the table."""
    rows = [(f"``{command}``", state) for command, state in sorted(states().items())]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    bar = " ".join("=" * width for width in widths)
    return "\n" + "\n".join([bar, _line(("Command", "State"), widths), bar,
                             *(_line(row, widths) for row in rows), bar]) + "\n\n"


def _line(row: Iterable[str], widths: list[int]) -> str:
    return " ".join(cell.ljust(width)
                    for cell, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
