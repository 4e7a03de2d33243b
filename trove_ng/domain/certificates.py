"""Certificates of database servers: issued by the operator's authority, and read.

Source of the forms: RFC 5280 (X.509), RFC 7468 (PEM).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import ipaddress
import itertools
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trove_ng.common.secret import Secret

#: what signs certificates
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_KINDS = "The private key must be of RSA, of an elliptic curve, or Ed25519."
#: what clocks may differ
_SKEW = datetime.timedelta(minutes=5)
#: characters of a common name, by RFC 5280
_MOST_OF_NAME = 64


class CertificateError(Exception):
    """A certificate or a key cannot be used; the message says why and quotes neither."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a server shows its clients.

    :param certificate: PEM, the server's own one first, then those between it and the
        authority
    :param key: PEM, PKCS #8, not encrypted
    :param authority: PEM, of who issued them; what clients verify with
    """

    certificate: str
    key: Secret
    authority: str


@dataclasses.dataclass(frozen=True)
class Description:
    """What a certificate says.

    :param names: the subject's alternative names, as texts
    """

    common_name: str
    names: tuple[str, ...]
    expires_at: datetime.datetime


def describe(certificate: str) -> Description:
    """Return what the first certificate of a PEM text says.

    :raises CertificateError: it is none
    """
    found = _first(certificate)
    names: list[str] = []
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        names = [str(one.value) for one in extension.value]
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Description(str(common[0].value) if common else "", tuple(names),
                       found.not_valid_after_utc.replace(tzinfo=None))


class Authority:
    """The operator's certificate authority.

    :param certificate: PEM, its own one first, then those of who issued it, if it is not
        the root
    :param key: PEM of its private key, not encrypted
    :raises CertificateError: one cannot be read, they do not belong together, or the
        certificate is not an authority's
    """

    def __init__(self, certificate: str, key: Secret) -> None:
        self._chain = certificate
        self._certificate = _first(certificate)
        self._key = _private_key(key)
        if self._key.public_key() != self._certificate.public_key():
            raise CertificateError("The private key is not that of the certificate.")
        if not _may_issue(self._certificate):
            raise CertificateError("The certificate is not that of an authority.")

    @property
    def expires_at(self) -> datetime.datetime:
        """When it ends; it issues nothing that is good for longer."""
        return self._certificate.not_valid_after_utc.replace(tzinfo=None)

    def is_that_of(self, chain: str) -> bool:
        """Return True if who trusts this authority trusts what is issued now.

        :param chain: PEM, of an authority that issued before
        """
        try:
            before = _first(chain)
            return (before.subject == self._certificate.subject
                    and before.public_key() == self._certificate.public_key())
        except (CertificateError, ValueError, UnsupportedAlgorithm):
            # what a server's agent told, and no authority of ours
            return False

    def issue(self, name: str, names: Iterable[str], days: int,
              now: datetime.datetime, *, client: bool = False) -> Identity:
        """Return a new key and a certificate for it, good for a server.

        :param name: the common name
        :param names: host names and addresses that clients reach the server under
        :param days: for which it is good, but not longer than the authority's own
        :param now: UTC, without a zone
        :param client: it is good for a client, and for no server
        """
        key = ec.generate_private_key(ec.SECP256R1())
        begin = now - _SKEW
        end = min(now + datetime.timedelta(days=days), self.expires_at)
        if end <= now:
            raise CertificateError("The certificate of the authority has expired.")
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(
                NameOID.COMMON_NAME, name[:_MOST_OF_NAME])]))
            .issuer_name(self._certificate.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin).not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            # not for clients: whoever has a server of this authority would be one of them all
            .add_extension(x509.ExtendedKeyUsage([
                ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                self._key.public_key()), critical=False))
        wanted = [_name(one) for one in names]
        if wanted:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(wanted), critical=False)
        made = builder.sign(self._key, _hash(self._key))
        return Identity(_pem(made) + self._between(), _as_pem(key), self._chain)

    def _between(self) -> str:
        """Return those of the chain that a server sends: all but a root."""
        return "".join(_pem(one) for one in _all(self._chain) if one.issuer != one.subject)


def from_bundle(data: bytes, password: Secret | None) -> Identity:
    """Return what a PKCS #12 bundle holds.

    :param data: the bundle, or it in base64
    :param password: None: it has none
    :raises CertificateError: it cannot be read, or cannot serve
    """
    secret = password.reveal().encode() if password is not None else None
    for form in (data, _unpacked(data)):
        try:
            key, certificate, more = pkcs12.load_key_and_certificates(form, secret)
        except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
            continue
        if certificate is None or key is None:
            raise CertificateError("The bundle holds no certificate and private key.")
        return _usable([certificate, *more], key)
    raise CertificateError("It is no PKCS #12 bundle, or its password is another one.")


def _unpacked(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return b""


def from_parts(certificate: str, key: Secret, chain: str, password: Secret | None) -> Identity:
    """Return an identity of PEM texts.

    :param chain: those between the certificate and the authority, and the authority
    :param password: of the key; None: it has none
    :raises CertificateError: one cannot be read, or cannot serve
    """
    secret = password.reveal().encode() if password is not None else None
    try:
        found = serialization.load_pem_private_key(key.reveal().encode(), secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError("The private key cannot be read, or its password is another "
                               "one.") from None
    return _usable([*_all(certificate), *(_all(chain) if chain.strip() else [])], found)


def _usable(certificates: Sequence[x509.Certificate], key: object) -> Identity:
    """Return an identity, checked; the last certificate is the authority's."""
    try:
        return _checked(certificates, key)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType):
        raise CertificateError("The certificate is malformed, or of a kind that is not "
                               "supported.") from None


def _checked(certificates: Sequence[x509.Certificate], key: object) -> Identity:
    first, *rest = certificates
    describe(_pem(first))
    if not isinstance(key, SigningKey):
        raise CertificateError(_KINDS)
    if key.public_key() != first.public_key():
        raise CertificateError("The private key is not that of the certificate.")
    now = datetime.datetime.now(datetime.UTC)
    if not first.not_valid_before_utc - _SKEW <= now < first.not_valid_after_utc:
        raise CertificateError("The certificate is not valid now.")
    for one, issuer in itertools.pairwise(certificates):
        try:
            one.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            raise CertificateError("Each certificate has to be issued by the one after it."
                                   ) from None
    return Identity("".join(_pem(one) for one in [first, *rest] if one.issuer != one.subject
                            or one is first), _as_pem(key), _pem(certificates[-1]))


def create_authority(name: str, days: int, now: datetime.datetime) -> tuple[str, Secret]:
    """Return certificate and private key, as PEM, of a new authority.

    :param name: its common name
    :param days: for which it is good
    :param now: UTC, without a zone
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW).not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True,
            content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, encipher_only=False, decipher_only=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                       critical=False)
        .sign(key, hashes.SHA256()))
    return _pem(made), _as_pem(key)


def _all(text: str) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        # without its cause: that may quote what is no certificate
        raise CertificateError("There is no certificate in PEM form.") from None


def _first(text: str) -> x509.Certificate:
    return _all(text)[0]


def _private_key(text: Secret) -> SigningKey:
    try:
        found = serialization.load_pem_private_key(text.reveal().encode(), None)
    except (ValueError, TypeError):
        raise CertificateError("There is no private key in PEM form without a password."
                               ) from None
    if not isinstance(found, SigningKey):
        raise CertificateError(_KINDS)
    return found


def _hash(key: SigningKey) -> hashes.SHA256 | None:
    """Return what a key signs; Ed25519 has its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _as_pem(key: SigningKey) -> Secret:
    return Secret(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()).decode())
