"""The object store of these tests."""

from __future__ import annotations

import pathlib
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.unit.guestagent.storage.object_server import ObjectServer


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[ObjectServer]:
    server = ObjectServer()
    server.scratch = tmp_path
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    socketserver.TCPServer.server_close(server)
    thread.join()
