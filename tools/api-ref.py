#!/usr/bin/env python3
"""Write doc/source/user/api-ref.rst: the route table with exchanges from the tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from trove_ng.api.routes import ROUTES, Route

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "doc/source/user/api-ref.rst"
_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
#: beginnings of the ids that the tests chose
_FIXED = ("00000000-", "f0000000-")
_MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")


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
                      textwrap.indent(_stable(json.dumps(
                          sample[name], indent=2, ensure_ascii=False)), "   ")]
    return "\n".join([*lines, ""])


def _stable(text: str) -> str:
    """Return an exchange without what differs from run to run: new ids, and times."""
    seen: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        if found[0].startswith(_FIXED):
            return found[0]
        return f"{seen.setdefault(found[0], len(seen) + 1):08}-1111-4111-8111-111111111111"

    return _MOMENT.sub("2026-01-01T00:00:00", _ID.sub(number, text))


if __name__ == "__main__":
    sys.exit(main())
