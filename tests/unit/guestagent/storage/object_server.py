"""An object store in this process whose connections break."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from trove_ng.common.secret import Secret
from trove_ng.guestagent.storage.http import Patience
from trove_ng.rpc.messages import ObjectStoreGrant


@dataclasses.dataclass
class Fault:
    """A PUT that fails.

    :param after: part of the body that is read first; None: all, and it is kept
    :param status: answer; None breaks the connection
    :param hang: keeps the connection open and silent until it is set
    """

    after: float | None
    status: int | None = None
    hang: threading.Event | None = None


class ObjectServer(ThreadingHTTPServer):
    """Holds objects; its faults are set by the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        #: bytes that an answer gives before its connection breaks, one per GET
        self.breaks: list[int] = []
        #: what goes wrong with the next PUTs; None: nothing
        self.put_faults: list[Fault | None] = []
        self.etag: str | None = None
        #: where the client keeps what it sends
        self.scratch = pathlib.Path("/nonexistent")
        self.ignore_range = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/AUTH_t/c"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectServer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _object(self) -> tuple[str, str]:
        parts = urlsplit(self.path)
        return parts.path.removeprefix("/v1/AUTH_t/c/"), parts.query

    def do_PUT(self) -> None:  # noqa: N802
        name, query = self._object()
        self.server.requests.append(("PUT", name, None))
        if query != "sig=put":
            self.close_connection = True
            self._answer(401)
            return
        size = int(self.headers["Content-Length"])
        fault = self.server.put_faults.pop(0) if self.server.put_faults else None
        if fault is not None and fault.after is not None:
            self.rfile.read(int(size * fault.after))
            self.close_connection = True
            if fault.status:
                self._answer(fault.status)
            elif fault.hang is not None:
                fault.hang.wait(30)
            else:
                # a reset, not an end
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            return
        content = self.rfile.read(size)
        if hashlib.md5(content).hexdigest() != self.headers["ETag"]:
            self._answer(422)
            return
        self.server.objects[name] = content
        if fault is not None:
            # kept, and the answer is lost
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._answer(201, etag=self.server.etag or hashlib.md5(content).hexdigest())

    def do_HEAD(self) -> None:  # noqa: N802
        name, query = self._object()
        self.server.requests.append(("HEAD", name, None))
        found = self.server.objects.get(name)
        if query != "sig=get" or found is None:
            self._answer(401 if query != "sig=get" else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(found)))
        self.send_header("ETag", hashlib.md5(found).hexdigest())
        self.end_headers()

    def do_GET(self) -> None:  # noqa: N802
        name, query = self._object()
        wanted = self.headers.get("Range")
        self.server.requests.append(("GET", name, wanted))
        if query != "sig=get" or name not in self.server.objects:
            self._answer(401 if query != "sig=get" else 404)
            return
        start = 0
        if wanted and not self.server.ignore_range:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        content = self.server.objects[name][start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.breaks:
            content = content[:self.server.breaks.pop(0)]
            self.close_connection = True
        self.wfile.write(content)

    def _answer(self, status: int, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()


def grant(store: ObjectServer, query: str = "sig=") -> ObjectStoreGrant:
    return ObjectStoreGrant(
        container_url=store.url, prefix="backup_1/", get_query=Secret(f"{query}get"),
        put_query=Secret(f"{query}put"), expires_at=0)


QUICK = Patience(tries=4, connect=2, silence=0.3, first_wait=0.01, longest_wait=0.02)
