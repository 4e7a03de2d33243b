#!/usr/bin/env python3
"""Write doc/source/user/examples from real exchanges, and what is made of them.

usage: tools/examples.py [--check]    (--check only compares, and fails if they differ)
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TESTS = ["tests/functional/api/test_samples.py", "tests/unit/test_api_reference.py"]


def main(arguments: list[str]) -> int:
    """Write or compare; return 0 if all is well, else what the tests ended with."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    if arguments:
        return _pytest(_TESTS, {})
    sys.path.insert(0, str(ROOT))
    from tests.functional.api.examples import FOLDER, MODE

    for old in FOLDER.glob("*"):
        old.unlink()
    done = _pytest(_TESTS[:1], {MODE: "write"})
    if done:
        return done
    return subprocess.run([sys.executable, ROOT / "tools/api-ref.py"], cwd=ROOT).returncode


def _pytest(tests: list[str], settings: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT,
                          env={**os.environ, **settings}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
