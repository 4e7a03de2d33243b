"""Barbican: secrets of projects, read with the caller's own token."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudNotFound
from trove_ng.common.secret import Secret

#: secrets and containers are named by URLs; where these lead is not believed
_REFERENCE = re.compile(
    r"https?://[^/]+(?:/[^/]+)*?/(?P<kind>secrets|containers)/"
    r"(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})/?")


@dataclasses.dataclass(frozen=True)
class Found:
    """What a reference leads to.

    :param bundle: PKCS #12; None: the parts are PEM
    :param password: of the bundle, or of the key
    """

    # a bundle without a password is a key
    bundle: bytes | None = dataclasses.field(default=None, repr=False)
    certificate: str = ""
    key: Secret | None = None
    chain: str = ""
    password: Secret | None = None


class KeyManager:
    """The key manager.

    :param connect: returns python-barbicanclient's client for a token
    """

    def __init__(self, connect: Callable[[Secret], Any], calls: Calls) -> None:
        self._connect = connect
        self._calls = calls

    def find(self, token: Secret, reference: str, password_reference: str | None) -> Found:
        """Return certificate and key: a secret that is a bundle, or a container of both.

        :raises ValueError: a reference is none
        :raises CloudNotFound: there is nothing that the token's owner may read
        """
        kind, ident = _split(reference)
        password, its_id = None, None
        if password_reference is not None:
            kind_of_it, its_id = _split(password_reference)
            if kind_of_it != "secrets":
                raise ValueError("it is not that of a secret")
        client = self._connect(token)
        if its_id is not None:
            password = Secret(_text(self._payload(client, its_id)))
        if kind == "secrets":
            payload = self._payload(client, ident)
            return Found(bundle=payload if isinstance(payload, bytes) else payload.encode(),
                         password=password)
        found = self._calls.again(client.containers.get, ident)
        parts = {name: _split(one)[1] for name, one in (found.secret_refs or {}).items()}
        if "certificate" not in parts or "private_key" not in parts:
            raise CloudNotFound("The container holds no certificate and private_key.")
        if password is None and "private_key_passphrase" in parts:
            password = Secret(_text(self._payload(client, parts["private_key_passphrase"])))
        return Found(
            certificate=_text(self._payload(client, parts["certificate"])),
            key=Secret(_text(self._payload(client, parts["private_key"]))), password=password,
            chain=_text(self._payload(client, parts["intermediates"]))
            if "intermediates" in parts else "")

    def _payload(self, client: Any, ident: str) -> str | bytes:
        def read() -> Any:
            return client.secrets.get(ident).payload

        found = self._calls.again(read)
        if not found:
            raise CloudNotFound("The secret has no payload.")
        return found  # type: ignore[no-any-return]


def _split(reference: str) -> tuple[str, str]:
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError("it is not the URL of a secret or a container")
    return found["kind"], found["id"]


def _text(payload: str | bytes) -> str:
    return payload if isinstance(payload, str) else payload.decode("utf-8", errors="replace")
