"""Certificates of database servers: real handshakes with what is issued."""

from __future__ import annotations

import base64
import datetime
import pathlib
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import pkcs12

from trove_ng.common.clock import utcnow
from trove_ng.common.secret import Secret
from trove_ng.domain.certificates import (
    Authority,
    CertificateError,
    Identity,
    create_authority,
    describe,
    from_bundle,
    from_parts,
)

NAMES = ["192.0.2.5", "2001:db8::5", "db.example.org"]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(*create_authority("Tests", 30, utcnow()))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.issue("an-instance", NAMES, 7, utcnow())


def handshake(tmp_path: pathlib.Path, identity: Identity, trusted: str, name: str) -> str:
    """Return the version that both ends speak."""
    files = {}
    for file, text in (("c", identity.certificate), ("k", identity.key.reveal()),
                       ("t", trusted)):
        files[file] = tmp_path / file
        files[file].write_text(text)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files["c"], files["k"])
    client = ssl.create_default_context(cafile=str(files["t"]))
    here, there = socket.socketpair()

    def serve() -> None:
        with there:
            try:
                server.wrap_socket(there, server_side=True).close()
            except OSError:
                return  # the client says why it does not like the certificate

    other = threading.Thread(target=serve)
    other.start()
    try:
        with here, client.wrap_socket(here, server_hostname=name) as spoken:
            return str(spoken.version())
    finally:
        other.join(10)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_trusts_each_name(tmp_path: pathlib.Path, identity: Identity,
                                   name: str) -> None:
    assert handshake(tmp_path, identity, identity.authority, name) == "TLSv1.3"


def test_a_client_trusts_no_other_name_and_no_other_authority(
        tmp_path: pathlib.Path, identity: Identity) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch|valid for"):
        handshake(tmp_path, identity, identity.authority, "192.0.2.6")
    other, _ = create_authority("Tests", 30, utcnow())
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        handshake(tmp_path, identity, other, NAMES[0])


def test_a_certificate_tells_what_it_is_for(identity: Identity) -> None:
    found = describe(identity.certificate)
    assert (found.common_name, list(found.names)) == ("an-instance", NAMES)
    left = found.expires_at - utcnow()
    assert datetime.timedelta(days=6, hours=23) < left < datetime.timedelta(days=7, minutes=1)


def test_none_outlives_its_authority() -> None:
    now = utcnow()
    authority = Authority(*create_authority("Tests", 2, now))
    ends = describe(authority.issue("i", [], 100, now).certificate).expires_at
    assert ends <= now + datetime.timedelta(days=2)
    with pytest.raises(CertificateError, match="has expired"):
        authority.issue("i", [], 100, now + datetime.timedelta(days=3))


def test_each_one_has_a_key_of_its_own(authority: Authority) -> None:
    made = {authority.issue("i", [], 1, utcnow()).key.reveal() for _ in range(3)}
    assert len(made) == 3


def test_a_text_that_is_none_is_refused_and_not_quoted() -> None:
    certificate, key = create_authority("Tests", 1, utcnow())
    for texts, why in (
            (("no-certificate", key), "no certificate in PEM form"),
            ((certificate, Secret("no-key")), "no private key in PEM form"),
            ((certificate, create_authority("Other", 1, utcnow())[1]), "not that of the")):
        with pytest.raises(CertificateError, match=why) as caught:
            Authority(*texts)
        assert "no-" not in str(caught.value)


def test_a_servers_certificate_issues_none(identity: Identity) -> None:
    with pytest.raises(CertificateError, match="not that of an authority"):
        Authority(identity.certificate, identity.key)


@pytest.mark.parametrize("kind", [ed25519.Ed25519PrivateKey, x25519.X25519PrivateKey])
def test_a_key_of_another_kind(kind: type[ed25519.Ed25519PrivateKey]) -> None:
    text = Secret(kind.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()).decode())
    certificate, _ = create_authority("Tests", 1, utcnow())
    with pytest.raises(CertificateError, match="not that of the|must be of RSA"):
        Authority(certificate, text)


def test_a_bundle_in_base64_is_one_too(authority: Authority, identity: Identity) -> None:
    key = serialization.load_pem_private_key(identity.key.reveal().encode(), None)
    chain = x509.load_pem_x509_certificates(
        (identity.certificate + identity.authority).encode())
    for password in (None, "p"):
        raw = pkcs12.serialize_key_and_certificates(
            None, key, chain[0], chain[1:],  # type: ignore[arg-type]
            serialization.NoEncryption() if password is None
            else serialization.BestAvailableEncryption(password.encode()))
        secret = None if password is None else Secret(password)
        for data in (raw, base64.b64encode(raw)):
            assert from_bundle(data, secret) == identity


def test_what_cannot_serve_is_refused(authority: Authority, identity: Identity) -> None:
    old = authority.issue("old", [], 1, utcnow() - datetime.timedelta(days=3))
    with pytest.raises(CertificateError, match="not valid now"):
        from_parts(old.certificate, old.key, old.authority, None)
    with pytest.raises(CertificateError, match="issued by the one after it"):
        from_parts(identity.certificate, identity.key,
                   create_authority("Other", 1, utcnow())[0], None)
    with pytest.raises(CertificateError, match="not that of the certificate"):
        from_parts(identity.certificate, old.key, "", None)


def test_one_that_nobody_issued_is_its_own_authority() -> None:
    certificate, key = create_authority("Alone", 1, utcnow())
    found = from_parts(certificate, key, "", None)
    assert found.certificate == found.authority == certificate
