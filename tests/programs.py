"""The programs of ``tools/`` that write documents, and what they wrote."""

from __future__ import annotations

import json
import runpy
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trove_ng.datastores import parameters

_TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str) -> Any:
    """Return what a program defines, without running it."""
    return SimpleNamespace(**runpy.run_path(str(_TOOLS / f"{name}.py")))


def listed(datastore: str) -> Any:
    """Return the entries of a datastore's list of settings, as a program wrote them."""
    found = resources.files(f"trove_ng.datastores.{datastore}").joinpath(parameters.FILE)
    return json.loads(found.read_text())["configuration-parameters"]
