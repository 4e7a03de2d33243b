"""One JSON line for each measurement."""

from __future__ import annotations

import json
from typing import Any


def emit(name: str, **numbers: Any) -> None:
    """Print a measurement on standard output."""
    print(json.dumps({"name": name, **numbers}), flush=True)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
