"""Native threads for the libraries that can also do green ones."""

from __future__ import annotations

import sys


def use_native_threads() -> None:
    """Keep eventlet out of this process and have oslo.service use threads.

    oslo.messaging loads eventlet when it is installed, whether it is used or not:
    that is a fifth of a second and 20 MB in each process.  Called by ``main`` before
    anything imports oslo.messaging.
    """
    if "eventlet" not in sys.modules:
        # Importing it fails from now on, as if it were not installed.
        sys.modules["eventlet"] = None  # type: ignore[assignment]
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
