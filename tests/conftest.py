"""For all tests: the libraries below use threads, as they do in the services."""

from __future__ import annotations

import gc

from hypothesis import settings

from trove_ng.common.threads import use_native_threads

use_native_threads()
# no test asserts how long something takes: the machine may be busy
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Leave what is there for good out of the collections of garbage: they took a fifth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
