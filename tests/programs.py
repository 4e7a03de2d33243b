"""The programs of ``tools/`` that write documents."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str) -> Any:
    """Return what a program defines, without running it."""
    return SimpleNamespace(**runpy.run_path(str(_TOOLS / f"{name}.py")))
