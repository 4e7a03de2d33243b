"""A real Redis that speaks TLS, as its clients see it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from cryptography import x509
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.integration.guestagent.test_redis import Server, server
from tests.integration.guestagent.tls import Certificates
from trove_ng.datastores import base as datastores
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import tls_messages as tm

__all__ = ["server"]

LOST = redis.ConnectionError


class Clients:
    """Connections to a server."""

    def __init__(self, server: Server, trusted: str) -> None:  # noqa: F811
        self._server = server
        self._trusted = trusted

    def plain(self) -> redis.Redis:
        return self._open(port=self._server.paths.port)

    def verified(self, **files: str) -> redis.Redis:
        return self._open(port=self._server.paths.tls_port, ssl=True, ssl_check_hostname=True,
                          ssl_ca_certs=self._trusted,
                          **{f"ssl_{name[3:]}file": path for name, path in files.items()})

    @staticmethod
    def _open(**how: Any) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", socket_timeout=10, protocol=2,
                           retry=Retry(NoBackoff(), 0), single_connection_client=True, **how)

    def shown(self) -> str:
        """Return the name in the certificate that the server shows."""
        with self.verified() as client:
            client.ping()
            assert client.connection is not None
            found = x509.load_der_x509_certificate(
                client.connection._sock.getpeercert(True))  # noqa: SLF001
            return str(found.subject.rfc4514_string())


@pytest.fixture
def clients(server: Server, certificates: Certificates) -> Iterator[Clients]:  # noqa: F811
    yield Clients(server, certificates.trusted)


def test_what_is_changed_is_in_force_at_once(
        server: Server, certificates: Certificates, clients: Clients) -> None:  # noqa: F811
    manager = server.manager
    with pytest.raises(LOST):
        clients.verified()
    assert not manager.set_tls(certificates.request("one", "basic")).restart_required
    assert clients.verified().ping() and clients.plain().ping()
    manager.set_tls(certificates.request("two", "enforced"))
    assert clients.verified().ping()
    with pytest.raises(LOST, match="refused"):
        clients.plain()
    # nobody comes in with a password alone
    manager.set_tls(certificates.request("three", "mtls"))
    with pytest.raises(LOST):
        clients.verified().ping()
    assert clients.verified(**certificates.client()).ping()
    other = Certificates(pathlib.Path(certificates.trusted).parent / "other")
    with pytest.raises(LOST):
        clients.verified(**other.client()).ping()
    # the server's own certificate is none for clients
    manager.set_tls(certificates.request("four", "enforced"))
    server.restart()
    assert clients.verified().ping()
    with pytest.raises(LOST, match="refused"):
        clients.plain()
    # back, and off
    manager.roll_back_tls(tm.TlsRollback(operation_id="back", step="tls"))
    with pytest.raises(LOST):
        clients.verified().ping()
    assert not manager.set_tls(certificates.request("off", None)).restart_required
    assert clients.plain().ping()
    with pytest.raises(LOST, match="refused"):
        clients.verified()


def test_another_certificate_cuts_nobody_off(
        server: Server, certificates: Certificates, clients: Clients) -> None:  # noqa: F811
    manager = server.manager
    manager.set_tls(certificates.request("one", "enforced"))
    before = clients.verified()
    before.set("a", "1")
    assert clients.shown() == "CN=one"
    manager.set_tls(certificates.request("two", "enforced"))
    assert clients.shown() == "CN=two"
    assert before.get("a") == b"1"
    manager.roll_back_tls(tm.TlsRollback(operation_id="two", step="undo_tls", undo=True))
    assert clients.shown() == "CN=one"
    assert before.get("a") == b"1"


def test_it_outlives_the_root_disk_and_what_owners_set(
        server: Server, certificates: Certificates, clients: Clients) -> None:  # noqa: F811
    manager = server.manager
    manager.set_tls(certificates.request("one", "enforced"))
    server.override(timeout=100)
    manager.stop_db()
    manager.restore_settings(None, sm.PostUpgrade(
        operation_id="u", step="post_upgrade", memory_mb=512, volume=None,
        config=datastores.get("redis").config(512)))
    manager.start_db()
    assert clients.shown() == "CN=one"
    with pytest.raises(LOST, match="refused"):
        clients.plain()


def test_one_that_is_stopped_speaks_it_from_its_start(
        server: Server, certificates: Certificates, clients: Clients) -> None:  # noqa: F811
    server.manager.stop_db()
    assert not server.manager.set_tls(certificates.request("one", "basic")).restart_required
    server.manager.start_db()
    assert clients.verified().ping() and clients.plain().ping()
