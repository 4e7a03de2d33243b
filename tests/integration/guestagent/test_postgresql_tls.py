"""A real PostgreSQL that speaks TLS, as its clients see it."""

from __future__ import annotations

import pathlib
from typing import Any

import psycopg
import pytest

from tests.integration.guestagent.test_postgresql import (  # noqa: F401 - fixtures
    Server,
    alike,
    backup,
    first,
    server,
)
from tests.integration.guestagent.test_postgresql_replication import (
    account,
    accounts,
    follow,
    seeded,
)
from tests.integration.guestagent.tls import Certificates
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.datastores import base as datastores
from trove_ng.guestagent.datastores.experimental.postgresql import replication
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import tls_messages as tm
from trove_ng.standalone.minicloud.swift import Swift


def spoken(server: Server, **how: Any) -> bool:  # noqa: F811
    """Return whether a client's connection is encrypted."""
    with psycopg.connect(host="127.0.0.1", port=server.paths.port, user="app",
                         password="app-Pw1", dbname="shop", connect_timeout=10,  # noqa: S106
                         **how) as connection:
        connection.execute("SELECT 1")
        return bool(connection.pgconn.ssl_in_use)


def test_what_is_changed_is_in_force_at_once(
        server: Server, certificates: Certificates) -> None:  # noqa: F811
    manager = server.manager
    verified = {"sslmode": "verify-full", "sslrootcert": certificates.trusted}
    plain = {"sslmode": "disable"}
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        spoken(server, **verified)
    assert not manager.set_tls(certificates.request("one", "basic")).restart_required
    assert (spoken(server, **verified), spoken(server, **plain)) == (True, False)
    manager.set_tls(certificates.request("two", "enforced"))
    assert spoken(server, **verified)
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        spoken(server, **plain)
    # nobody comes in with a password alone
    manager.set_tls(certificates.request("three", "mtls"))
    with pytest.raises(psycopg.OperationalError, match="client certificate"):
        spoken(server, **verified)
    assert spoken(server, **verified, **certificates.client())
    other = Certificates(pathlib.Path(certificates.trusted).parent / "other")
    with pytest.raises(psycopg.OperationalError, match="unknown ca|certificate verify failed"):
        spoken(server, **verified, **other.client())
    # a new root disk
    manager.stop_db()
    manager.restore_settings(None, sm.PostUpgrade(
        operation_id="u", step="post_upgrade", memory_mb=512, volume=None,
        config=datastores.get("postgresql").config(512)))
    manager.start_db()
    with pytest.raises(psycopg.OperationalError, match="client certificate"):
        spoken(server, **verified)
    # back, and off
    manager.roll_back_tls(tm.TlsRollback(operation_id="back", step="tls"))
    assert spoken(server, **verified)
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        spoken(server, **plain)
    assert not manager.set_tls(certificates.request("off", None)).restart_required
    assert not spoken(server, **plain)
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        spoken(server, **verified)


def links(source: Server) -> list[bool]:  # noqa: F811
    """Return of each replica's connection whether it is encrypted."""
    with source.manager.server.connect() as connection:
        return [bool(one) for one, in connection.execute(
            "SELECT ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) "
            "WHERE state = 'streaming'")]


def test_replicas_follow_a_source_that_lets_nobody_in_without_it(
        server: Server, make: Any, store: tuple[str, Swift],  # noqa: F811
        certificates: Certificates, tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    server.ask("CREATE TABLE t (v INT PRIMARY KEY)")
    stored, user = backup(server, store[0]), account("one")
    accounts(server, add=user)
    replica = seeded(make, store[0], "replica", stored)
    follow(replica, server, user)
    server.manager.set_tls(certificates.request("one", "basic"))
    how = {"authority": certificates.request("any", "basic").authority, "named": True}
    for mode in ("basic", "enforced", "mtls"):
        server.manager.set_tls(certificates.request(f"with {mode}", mode))
        replica.manager.set_tls(certificates.request(f"with {mode}", mode))
        for _ in range(2):
            follow(replica, server, user, **how)
            assert links(server) == [True]
    server.manager.restart_db()
    replica.manager.restart_db()
    replica.manager.replication.wait()
    assert links(server) == [True]
    # one in clear is refused, and so is whom another authority vouches for
    other = Certificates(tmp_path / "other").request("any", "basic").authority
    monkeypatch.setattr(replication, "_ANSWER_SECONDS", 3)
    for bad in ({}, {"authority": other}):
        with pytest.raises(ServiceUnavailable, match="does not get changes"):
            follow(replica, server, user, **bad)
    # a certificate for another address is good enough only where names do not count
    made = certificates.issue("three", "192.0.2.1")
    server.manager.set_tls(tm.TlsRequest(
        operation_id="three", step="tls", mode="enforced", certificate=made.certificate,
        key=made.key, authority=made.authority))
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        follow(replica, server, user, **how)
    follow(replica, server, user, authority=how["authority"])
    assert links(server) == [True]
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    assert replica.manager.tls.trusted is None
    assert spoken(replica, sslmode="verify-full", sslrootcert=certificates.trusted,
                  **certificates.client())
