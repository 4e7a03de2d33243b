"""A real MariaDB that speaks TLS, as its clients see it."""

from __future__ import annotations

import pathlib
from typing import Any

import pymysql
import pytest

from tests.integration.guestagent.test_mariadb import (  # noqa: F401 - fixtures
    APP,
    Server,
    server,
)
from tests.integration.guestagent.tls import Certificates
from trove_ng.datastores import base as datastores
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import tls_messages as tm


def spoken(server: Server, trusted: str | None) -> tuple[str, str]:  # noqa: F811
    """Return version of TLS and the common name that a client sees; empty: none.

    :param trusted: file of what it verifies with; None: it wants no TLS
    """
    how: dict[str, Any] = {"ssl_disabled": True} if trusted is None else {
        "ssl_ca": trusted, "ssl_verify_cert": True, "ssl_verify_identity": True}
    with pymysql.connect(host="127.0.0.1", port=server.paths.port, user=APP[0],
                         password=APP[1], **how) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
            (_, version), = cursor.fetchall()
        if not version:
            return "", ""
        subject = connection._sock.getpeercert()["subject"]
    return str(version), str(subject[0][0][1])


def test_clients_are_encrypted_from_a_start_on_and_certificates_are_replaced_without_one(
        server: Server, certificates: Certificates) -> None:  # noqa: F811
    manager, trusted = server.manager, certificates.trusted
    assert manager.set_tls(certificates.request("one", "basic")).restart_required
    manager.restart(m.StepRequest(operation_id="r", step="restart"))
    assert spoken(server, trusted) == ("TLSv1.3", "one")
    assert spoken(server, None) == ("", "")
    # one that is replaced, and what is wanted of clients, are in force at once
    assert not manager.set_tls(certificates.request("two", "enforced")).restart_required
    assert spoken(server, trusted) == ("TLSv1.3", "two")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied|insecure transport"):
        spoken(server, None)
    # neither the owner's settings nor those of a new root disk reach it
    manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="overrides", values={"require_secure_transport": False}))
    manager.restart_db()
    with pytest.raises(pymysql.err.OperationalError, match="Access denied|insecure transport"):
        spoken(server, None)
    manager.stop_db()
    manager.restore_settings(None, sm.PostUpgrade(
        operation_id="u", step="post_upgrade", memory_mb=512, volume=None,
        config=datastores.get("mariadb").config(512)))
    manager.start_db()
    assert spoken(server, trusted) == ("TLSv1.3", "two")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied|insecure transport"):
        spoken(server, None)
    # back, and off
    assert not manager.roll_back_tls(
        tm.TlsRollback(operation_id="back", step="tls")).restart_required
    assert (spoken(server, trusted), spoken(server, None)) == (("TLSv1.3", "one"), ("", ""))
    assert manager.set_tls(certificates.request("off", None)).restart_required
    manager.restart(m.StepRequest(operation_id="r2", step="restart"))
    with pytest.raises(pymysql.err.OperationalError, match="SSL"):
        spoken(server, trusted)
    assert spoken(server, None) == ("", "")


def test_the_key_is_for_root_and_the_server_only(
        server: Server, certificates: Certificates) -> None:  # noqa: F811
    server.manager.set_tls(certificates.request("one", "basic"))
    found = server.manager.tls.in_force()
    assert found is not None
    for path in (found.key, found.key.resolve().parent, found.key.parent.parent):
        assert (path.owner(), path.group()) == ("root", "mysql")
        assert not path.stat().st_mode & 0o027
    for path in pathlib.Path(server.paths.changes).iterdir():
        assert "PRIVATE" not in path.read_text()
