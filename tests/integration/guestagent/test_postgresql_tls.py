"""A real PostgreSQL that speaks TLS, as its clients see it."""

from __future__ import annotations

import pathlib
from typing import Any

import psycopg
import pytest

from tests.integration.guestagent.test_postgresql import (  # noqa: F401 - fixtures
    Server,
    alike,
    first,
    server,
)
from tests.integration.guestagent.tls import Certificates
from trove_ng.datastores import base as datastores
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import tls_messages as tm


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
