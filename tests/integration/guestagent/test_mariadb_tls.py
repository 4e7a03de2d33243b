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
from tests.integration.guestagent.test_mariadb_replication import (
    account,
    eventually,
    follow,
    following,
    insert,
    step,
    values,
)
from tests.integration.guestagent.tls import Certificates
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.datastores import base as datastores
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import tls_messages as tm
from trove_ng.standalone.minicloud.swift import Swift


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


def encrypted(replica: Server) -> tuple[str, str]:  # noqa: F811
    """Return whether a replica's link to its source is encrypted, and names are looked at."""
    found = replica.manager.replication.status()
    return str(found["Master_SSL_Allowed"]), str(found["Master_SSL_Verify_Server_Cert"])


def test_replicas_follow_a_source_that_lets_nobody_in_without_it(
        server: Server, make: Any, store: tuple[str, Swift],  # noqa: F811
        certificates: Certificates, tmp_path: pathlib.Path) -> None:
    server.manager.set_tls(certificates.request("one", "basic"))
    server.manager.restart(step("tls"))
    # in clear, as long as it may
    replica, user = following(server, make, store[0]), account("one")
    assert encrypted(replica) == ("No", "No")
    how = {"authority": certificates.request("any", "basic").authority, "named": True}
    for _ in range(2):
        follow(replica, server, user, None, **how)
        assert encrypted(replica) == ("Yes", "Yes")
    server.manager.set_tls(certificates.request("two", "enforced"))
    insert(server, 1)
    server.manager.restart_db()
    insert(server, 2)
    eventually(lambda: values(replica) == [1, 2], "what is written at a strict source")
    # it goes on after a restart of its own, with no password or name that the log shows
    replica.manager.restart_db()
    insert(server, 3)
    eventually(lambda: values(replica) == [1, 2, 3], "changes after a restart")
    # one in clear is refused, and so is whom another authority vouches for
    with pytest.raises(ServiceUnavailable, match="error"):
        follow(replica, server, user, None)
    other = Certificates(tmp_path / "other").request("any", "basic").authority
    with pytest.raises(ServiceUnavailable, match="2026"):
        follow(replica, server, user, None, authority=other)
    follow(replica, server, user, None, **how)
    insert(server, 4)
    eventually(lambda: values(replica) == [1, 2, 3, 4], "changes after the refusals")
    # a certificate for another address is good enough only where names do not count
    made = certificates.issue("three", "192.0.2.1")
    server.manager.set_tls(tm.TlsRequest(
        operation_id="three", step="tls", mode="enforced", certificate=made.certificate,
        key=made.key, authority=made.authority))
    with pytest.raises(ServiceUnavailable, match="2026"):
        follow(replica, server, user, None, **how)
    follow(replica, server, user, None, authority=how["authority"])
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    assert replica.manager.tls.trusted is None
    assert replica.manager.replication.status() == {}


def test_a_replica_with_a_certificate_becomes_the_source_of_one_that_verifies_it(
        server: Server, make: Any, store: tuple[str, Swift],  # noqa: F811
        certificates: Certificates) -> None:
    replica = following(server, make, store[0])
    authority = certificates.request("any", "basic").authority
    for one in (server, replica):
        assert one.manager.set_tls(
            certificates.request(f"of {one.paths.port}", "enforced")).restart_required
        one.manager.restart(step("tls"))
    follow(replica, server, account("one"), None, authority=authority, named=True)
    insert(server, 1)
    eventually(lambda: values(replica) == [1], "a change")
    position = server.manager.stop_writes(step("freeze"))
    assert replica.manager.wait_for_position(
        rm.PositionRequest(position=position.position, seconds=20)).value
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take"))
    replica.manager.set_replica_accounts(rm.ReplicaAccounts(add=account("old")))
    follow(server, replica, account("old"), None, authority=authority, named=True)
    insert(replica, 2)
    eventually(lambda: values(server) == [1, 2], "a change of the new source")
    assert spoken(replica, certificates.trusted) == ("TLSv1.3", f"of {replica.paths.port}")
