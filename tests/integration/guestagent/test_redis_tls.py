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

from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.test_redis import Server, server
from tests.integration.guestagent.test_redis_replication import account, accounts, follow
from tests.integration.guestagent.tls import Certificates
from trove_ng.common.errors import BadRequest, ServiceUnavailable
from trove_ng.datastores import base as datastores
from trove_ng.rpc import replication_messages as rm
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


def test_replicas_follow_a_source_that_lets_nobody_in_without_it(
        server: Server, make: Any, certificates: Certificates,  # noqa: F811
        clients: Clients, tmp_path: pathlib.Path) -> None:
    server.override(repl_diskless_sync_delay=0)
    user = account("one")
    accounts(server, add=user)
    replica: Server = make("replica")
    replica.prepare(replica=True)
    server.manager.set_tls(certificates.request("one", "enforced"))
    how = {"authority": certificates.request("any", "basic").authority}
    with pytest.raises(BadRequest, match="certificate of its own"):
        follow(replica, server, user, **how)
    replica.manager.set_tls(certificates.request("one of the replica", "enforced"))
    follower = Clients(replica, certificates.trusted)
    for _ in range(2):
        follow(replica, server, user, **how)
    clients.verified().set("a", "1")
    wait_for(lambda: follower.verified().get("a") == b"1")
    assert replica.manager.examine().reason == ""
    # it outlives restarts, new certificates and a new root disk
    server.manager.set_tls(certificates.request("two", "enforced"))
    replica.manager.set_tls(certificates.request("two of the replica", "enforced"))
    server.restart()
    replica.manager.stop_db()
    replica.manager.restore_settings(None, sm.PostUpgrade(
        operation_id="u", step="post_upgrade", memory_mb=512, volume=None,
        config=datastores.get("redis").config(512)))
    replica.manager.start_db()
    clients.verified().set("a", "2")
    wait_for(lambda: follower.verified().get("a") == b"2")
    # whom another authority vouches for is not followed
    other = Certificates(tmp_path / "other").request("any", "basic").authority
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        follow(replica, server, user, authority=other)
    follow(replica, server, user, **how)
    # one that refuses it lives, also where nothing but TLS is spoken
    assert replica.manager.examine().reason == ""
    accounts(server)
    wait_for(lambda: replica.manager.examine().reason != "")
    state = replica.manager.replication_state()
    assert (state["connected"], "unheard" in state) == (False, False)
    accounts(server, add=user)
    follow(replica, server, user, **how)
    # in clear again, and back
    server.manager.set_tls(certificates.request("three", "basic"))
    follow(replica, server, user)
    assert replica.manager.tls.trusted is None
    clients.verified().set("a", "3")
    wait_for(lambda: follower.verified().get("a") == b"3")
    follow(replica, server, user, **how)
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    assert replica.manager.tls.trusted is None
    assert follower.verified().set("a", "4")
