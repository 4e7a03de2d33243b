#!/usr/bin/env python3
"""Write doc/source/user/api-ref.rst: the route table with exchanges from the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from trove_ng.api.routes import ROUTES, Route

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "doc/source/user/api-ref.rst"


def main() -> int:
    """Run the tests that make samples, and write the reference."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/functional/api/test_samples.py"],
            cwd=ROOT, env={**os.environ, "TROVE_API_SAMPLES": folder})
        if done.returncode:
            return done.returncode
        parts = [_HEAD, *(_route(route, Path(folder)) for route in ROUTES)]
    TARGET.write_text("\n".join(parts))
    return 0


_HEAD = """=============
API reference
=============

Made from the route table and the exchanges of the tests by ``tools/api-ref.py``.  Paths are
below ``/v1.0/{tenant_id}``; every request needs the header ``X-Auth-Token``.
"""


def _route(route: Route, folder: Path) -> str:
    title = f"{route.method} {route.path}"
    lines = [title, "=" * len(title), "",
             f"Policy rule ``{route.rule}``, answers {route.success}."]
    if route.query:
        lines += ["", "Query: " + ", ".join(f"``{name}``" for name in route.query) + "."]
    sample = json.loads(
        (folder / f"{route.method}{route.path.replace('/', '~')}.json").read_text())
    for name, words in (("request", "Request"), ("answer", "Answer")):
        if sample[name] is not None:
            lines += ["", f"{words}:", "", ".. code-block:: json", "",
                      textwrap.indent(json.dumps(_stable(sample[name]), indent=2,
                                                 ensure_ascii=False), "   ")]
    return "\n".join([*lines, ""])


def _stable(value: Any) -> Any:
    """Return a sample without what differs from run to run: times."""
    if isinstance(value, dict):
        return {name: "2026-01-01T00:00:00" if name in (
            "created", "updated", "service_status_updated", "deleted_at") and inner
            else "2026-01-01T00:00:00Z" if name == "nextAvailable" else _stable(inner)
            for name, inner in value.items()}
    if isinstance(value, list):
        return [_stable(one) for one in value]
    return value


if __name__ == "__main__":
    sys.exit(main())
