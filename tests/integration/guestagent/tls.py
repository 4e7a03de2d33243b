"""Certificates for servers of the tests."""

from __future__ import annotations

import pathlib
from typing import Any

from trove_ng.common.clock import utcnow
from trove_ng.domain.certificates import Authority, Identity, create_authority
from trove_ng.rpc import tls_messages as tm


class Certificates:
    """An authority and what it issues.

    :param folder: where the files for clients are
    """

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._authority = Authority(*create_authority("Tests", 30, utcnow()))
        self.trusted = self._file("authority.pem", self.issue("nobody").authority)

    def issue(self, name: str, *names: str, client: bool = False) -> Identity:
        return self._authority.issue(name, names, 7, utcnow(), client=client)

    def request(self, operation: str, mode: str | None) -> tm.TlsRequest:
        """Return the request that gives the server a certificate, or none."""
        if mode is None:
            return tm.TlsRequest(operation_id=operation, step="tls")
        made = self.issue(operation, "127.0.0.1")
        return tm.TlsRequest(operation_id=operation, step="tls", mode=mode, key=made.key,
                             certificate=made.certificate, authority=made.authority)

    def client(self) -> dict[str, Any]:
        """Return the files of a client that has a certificate, as libpq names them."""
        made = self.issue("a client", client=True)
        return {"sslcert": self._file("client.pem", made.certificate),
                "sslkey": self._file("client.key", made.key.reveal())}

    def _file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)
