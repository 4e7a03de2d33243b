"""For all tests: the libraries below use threads, as they do in the services."""

from __future__ import annotations

import datetime
import gc
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

from trove_ng.common.threads import use_native_threads

use_native_threads()
# no test asserts how long something takes: the machine may be busy
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def _seed() -> str:
    """Return what is different with each commit; outside of a repository, each day."""
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=Path(__file__).parent, check=True,
            capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return datetime.datetime.now(datetime.UTC).date().isoformat()


# what the processes of a run choose must be the same: they inherit it
SEED = os.environ.setdefault("TROVE_SEED", _seed())


def pytest_report_header() -> str:
    """Tell how to try the same cases again."""
    return f"TROVE_SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell it also where there is no header."""
    if terminalreporter.verbosity < 0:
        terminalreporter.write_line(f"chosen by TROVE_SEED={SEED}")


def pytest_collection_finish() -> None:
    """Leave what is there for good out of the collections of garbage: they took a fifth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
