from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from trove_ng.common import threads
threads.use_native_threads()
threads.use_native_threads()
import sys, oslo_messaging
from oslo_service import backend
assert backend.get_backend_type() is backend.BackendType.THREADING
print(sys.modules["eventlet"])
"""


def test_the_bus_library_is_loaded_without_eventlet() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          check=True)
    assert done.stdout == "None\n"
