#!/usr/bin/env python3
"""Write the table of metrics in doc/source/operator/metrics.rst from their definitions."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from trove_ng.common.metrics import DEFINITIONS, SERVICES, Definition

TARGET = Path(__file__).parents[1] / "doc/source/operator/metrics.rst"
BEGIN = ".. the list begins: made by tools/metrics-doc.py\n"
END = ".. the list ends\n"


def main() -> int:
    """Write the list between its two marks."""
    head, _, rest = TARGET.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    TARGET.write_text(f"{head}{BEGIN}{render()}{END}{tail}")
    return 0


def render() -> str:
    """Return the list."""
    return "\n" + "\n".join(_entry(one) for one in DEFINITIONS) + "\n"


def _entry(definition: Definition) -> str:
    where = "" if definition.services == SERVICES else f" of {_names(definition.services)}"
    paragraphs = [f"{definition.kind.capitalize()}{where}. {definition.help}"]
    if definition.labels:
        paragraphs.append("Labels: " + "; ".join(
            f"``{name}``" + (f" ({_names(values)})" if values else "")
            for name, values in definition.labels.items()) + ".")
    return f"``{definition.name}``\n" + "\n\n".join(
        textwrap.fill(one, 90, initial_indent="    ", subsequent_indent="    ",
                      break_on_hyphens=False) for one in paragraphs) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"``{name}``" for name in names)


if __name__ == "__main__":
    sys.exit(main())
