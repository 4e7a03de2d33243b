"""Certificates that owners keep in the key manager."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from barbicanclient import client
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests.functional.control_plane.conftest import ControlPlane
from trove_ng.common.clock import utcnow
from trove_ng.domain.certificates import Authority, Identity, create_authority
from trove_ng.rpc import tls_messages as tm

PASSWORD = "bundle-Pw1"  # noqa: S105


@pytest.fixture
def instance(living: str) -> str:
    """An instance whose agent keeps what it is given."""
    return living


class Owner:
    """A user of the cloud, with the official client of the key manager."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self._plane = plane
        self._session = session.Session(auth=v3.Password(
            auth_url=plane.conf.service_credentials.auth_url, username=name,
            password=f"{name}-pw", project_name=name, user_domain_name="Default",
            project_domain_name="Default"))
        self.barbican = client.Client(session=self._session, version="v1")

    def keep(self, payload: str | bytes, **more: Any) -> str:
        """Store a secret; return where it is."""
        made = self.barbican.secrets.create(payload=payload, **more)
        return str(made.store())

    def ask(self, ident: str, wanted: dict[str, Any], status: int = 200) -> Any:
        """Ask for TLS with a token of one's own."""
        answer = self._plane.request(
            "POST", f"/instances/{ident}/ssl", {"ssl": {"enable": True, **wanted}},
            token=str(self._session.get_token()), status=status)
        if status == 200:
            self._plane.wait(ident, "ACTIVE")
        return answer.text


@pytest.fixture
def owner(plane: ControlPlane) -> Owner:
    return Owner(plane, "demo")


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Authority(*create_authority("The owner's", 5, utcnow())).issue(
        "db.example.org", ["db.example.org"], 3, utcnow())


def bundle(identity: Identity, password: str | None) -> bytes:
    key = serialization.load_pem_private_key(identity.key.reveal().encode(), None)
    first, = x509.load_pem_x509_certificates(identity.certificate.encode())
    return pkcs12.serialize_key_and_certificates(
        b"db", key, first, x509.load_pem_x509_certificates(identity.authority.encode()),
        serialization.NoEncryption() if password is None
        else serialization.BestAvailableEncryption(password.encode()))


def given(plane: ControlPlane, instance: str) -> tm.TlsRequest:
    """Return what the agent was given last."""
    return [one for _, one in plane.agent(instance).asked if isinstance(one, tm.TlsRequest)][-1]


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_bundle_is_put_in_force(plane: ControlPlane, instance: str, owner: Owner,
                                  identity: Identity, password: str | None) -> None:
    reference = owner.keep(bundle(identity, password))
    wanted = {"container_ref": reference, "mode": "enforced"}
    if password is not None:
        wanted["password_ref"] = owner.keep(password)
    owner.ask(instance, wanted)
    request = given(plane, instance)
    assert (request.certificate, request.authority, request.reference) == (
        identity.certificate, identity.authority, reference)
    assert request.key == identity.key
    shown = plane.request("GET", f"/instances/{instance}/ssl", status=200).json["ssl"]
    assert (shown["container_ref"], shown["certificate"]["cn"], shown["mode"]) == (
        reference, "db.example.org", "enforced")


def test_a_container_of_parts_is_put_in_force(
        plane: ControlPlane, instance: str, owner: Owner, identity: Identity,
        caplog: pytest.LogCaptureFixture) -> None:
    secrets = owner.barbican.secrets
    parts = {name: secrets.create(payload=text) for name, text in (
        ("certificate", identity.certificate), ("private_key", identity.key.reveal()),
        ("intermediates", identity.authority))}
    made = owner.barbican.containers.create_certificate(name="db", **parts)
    reference = made.store()
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        owner.ask(instance, {"container_ref": reference})
    assert given(plane, instance).key == identity.key
    assert "PRIVATE KEY" not in caplog.text


def test_what_is_not_the_owners_is_not_read(plane: ControlPlane, instance: str, owner: Owner,
                                            identity: Identity) -> None:
    foreign = Owner(plane, "alt").keep(bundle(identity, None))
    assert "cannot be read" in owner.ask(instance, {"container_ref": foreign}, 400)
    nowhere = foreign.rpartition("/")[0] + f"/{uuid.uuid4()}"
    assert "cannot be read" in owner.ask(instance, {"container_ref": nowhere}, 400)


def test_references_and_bundles_that_do_not_fit(plane: ControlPlane, instance: str,
                                                owner: Owner, identity: Identity) -> None:
    good = owner.keep(bundle(identity, PASSWORD))
    other, _ = create_authority("Other", 2, utcnow())
    for wanted, why in (
            ({"container_ref": "http://kms/v1/secrets/../../etc"}, "not the URL of a secret"),
            ({"container_ref": good}, "its password is another one"),
            ({"container_ref": good, "password_ref": owner.keep("wrong")}, "its password"),
            ({"container_ref": owner.keep("no bundle")}, "no PKCS #12 bundle"),
            ({"password_ref": good}, "needs ssl.container_ref"),
            ({"container_ref": _container(owner, identity.certificate, create_authority(
                "Other", 2, utcnow())[1].reveal(), "")}, "not that of the certificate"),
            ({"container_ref": _container(owner, identity.certificate, identity.key.reveal(),
                                          other)}, "issued by the one after it"),
            ({"container_ref": _container(owner, "none", "none", "")}, "private key cannot")):
        text = owner.ask(instance, wanted, 400)
        assert why in text
        assert PASSWORD not in text
    assert not [one for _, one in plane.agent(instance).asked if isinstance(one, tm.TlsRequest)]


def _container(owner: Owner, certificate: str, key: str, chain: str) -> str:
    secrets = owner.barbican.secrets
    parts = {"certificate": certificate, "private_key": key, "intermediates": chain}
    return str(owner.barbican.containers.create_certificate(**{
        name: secrets.create(payload=text) for name, text in parts.items() if text}).store())


def test_a_set_whose_members_have_certificates_of_their_owner(
        plane: ControlPlane, instance: str, owner: Owner, identity: Identity) -> None:
    mine = owner.keep(bundle(identity, None))
    owner.ask(instance, {"container_ref": mine, "mode": "enforced"})
    replica = plane.request("POST", "/instances", {"instance": {
        "name": "r", "replica_of": instance}}, status=200).json["instance"]["id"]
    plane.wait(replica, "ACTIVE")
    plane.wait(instance, "ACTIVE")
    source, follower = plane.agent(instance), plane.agent(replica)
    follows = follower.follows
    # the owner's certificate is for a name, and not for the address
    assert follows is not None
    assert (follows.authority, follows.named) == (identity.authority, False)
    assert follower.tls[-1][1].authority != identity.authority
    assert "must be enforced" in owner.ask(replica, {"container_ref": mine}, 400)
    owner.ask(replica, {"container_ref": mine, "mode": "enforced"})
    assert follower.tls[-1][1].certificate == identity.certificate
    assert source.follows is None
    # what is given to the source is not for its replicas
    owner.ask(instance, {"container_ref": mine})
    assert source.tls[-1][1].certificate == identity.certificate
    assert follower.tls[-1][1].certificate != identity.certificate
    assert follower.tls[-1][1].mode == "basic"
    follows = follower.follows
    assert follows is not None and follows.authority == identity.authority
