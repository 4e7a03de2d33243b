"""Secrets at rest: AES-256-GCM with keys by HKDF from configured secrets."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_NONCE = 12
_KID = 8


class DecryptError(Exception):
    """The text was not sealed with any of the given keys, or was changed."""


def derive_key(secret: str, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose from a configured secret.

    :param secret: the configured text; its entropy is the key's strength
    :param purpose: a constant that separates uses of one secret
    """
    return HKDF(hashes.SHA256(), 32, salt=None,
                info=b"trove_ng/" + purpose.encode()).derive(secret.encode())


def key_id(key: bytes) -> bytes:
    """Return an 8-byte public name of a key, which tells nothing of the key."""
    return hashlib.sha256(b"kid" + key).digest()[:_KID]


class SecretBox:
    """Seal texts for the store; several secrets allow rotation.

    :param secrets: configured secrets, newest first; the first one seals
    :param purpose: see :func:`derive_key`
    """

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        if not secrets or not all(secrets):
            raise ValueError("no key is configured")
        keys = [derive_key(secret, purpose) for secret in secrets]
        self._seal_key = keys[0]
        self._keys = {key_id(key): key for key in keys}

    @property
    def names(self) -> list[str]:
        """Public names of the keys, in hex, the one that seals first."""
        return [name.hex() for name in self._keys]

    @staticmethod
    def name_of(sealed: str) -> str:
        """Return the public name, in hex, of the key that a text was sealed with."""
        return base64.b64decode(sealed)[1:1 + _KID].hex()

    def seal(self, text: str, bound_to: str) -> str:
        """Return base64 of version, key id, nonce and ciphertext.

        :param bound_to: what the text belongs to (for example an instance
            id); opening it for anything else fails
        """
        nonce = os.urandom(_NONCE)
        head = _VERSION + key_id(self._seal_key)
        body = AESGCM(self._seal_key).encrypt(
            nonce, text.encode(), head + bound_to.encode())
        return base64.b64encode(head + nonce + body).decode()

    def open(self, sealed: str, bound_to: str) -> str:
        """Return the text.

        :raises DecryptError: unknown key, changed text or other owner
        """
        try:
            raw = base64.b64decode(sealed, validate=True)
        except ValueError as err:
            raise DecryptError("not a sealed text") from err
        head, nonce = raw[:1 + _KID], raw[1 + _KID:1 + _KID + _NONCE]
        key = self._keys.get(head[1:])
        if head[:1] != _VERSION or key is None:
            raise DecryptError("sealed with an unknown key")
        try:
            return AESGCM(key).decrypt(
                nonce, raw[1 + _KID + _NONCE:],
                head + bound_to.encode()).decode()
        except (InvalidTag, ValueError) as err:
            raise DecryptError("the sealed text was changed") from err
