from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from trove_ng.cmd import guestagent
from trove_ng.common import threads
threads.use_native_threads()
import trove_ng.guestagent.agent, trove_ng.guestagent.bus
print(json.dumps(sorted(name for name, module in sys.modules.items() if module is not None)))
"""

CONTROL_PLANE = {
    "sqlalchemy", "oslo_db", "pecan", "taskflow", "novaclient", "cinderclient",
    "neutronclient", "glanceclient", "swiftclient", "keystoneauth1", "keystonemiddleware",
    "alembic", "eventlet", "prometheus_client"}


def test_the_agent_loads_nothing_of_the_control_plane() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & CONTROL_PLANE
