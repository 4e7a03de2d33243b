"""For all tests: the libraries below use threads, as they do in the services."""

from __future__ import annotations

from trove_ng.common.threads import use_native_threads

use_native_threads()
