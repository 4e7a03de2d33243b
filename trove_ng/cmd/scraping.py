"""The small HTTP server for scrapes."""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

LOG = logging.getLogger(__name__)

#: seconds that a client may take to say what it wants
_PATIENCE = 10.0


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log below what operators read: scrapes come all the time."""
        LOG.debug(format, *args)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Serves on a socket that listens already, each request in a thread of its own."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, app: WSGIApplication) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = host, port
        self.setup_environ()
        self.set_app(app)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a connection that broke."""
        LOG.debug("a scrape from %s broke off: %r", client_address, sys.exception())


def serve(listening: socket.socket, app: WSGIApplication) -> None:
    """Answer requests in threads from now on, until the process ends."""
    server = _Server(listening, app)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    LOG.info("metrics are at http://%s:%d/metrics", server.server_name, server.server_port)
