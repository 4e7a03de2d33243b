"""Passwords and tokens of the identity service."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
import uuid
from typing import Any

from trove_ng.standalone.minicloud.identity import Identity
from trove_ng.standalone.minicloud.store import Document, Store

_SCRYPT = {"n": 2 ** 12, "r": 8, "p": 1}


def hash_password(password: str) -> str:
    """Return salt and scrypt hash of a password."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)
    return f"{salt.hex()}${digest.hex()}"


def check_password(password: str, stored: str) -> bool:
    """Return whether a password is the one that was hashed."""
    salt, _, digest = stored.partition("$")
    found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_SCRYPT)
    return hmac.compare_digest(found.hex(), digest)


def moment(stamp: datetime.datetime) -> str:
    """Return a time as Keystone writes it."""
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Tokens:
    """Issues and knows tokens; only their hashes are stored.

    :param lifetime: seconds
    """

    def __init__(self, store: Store, lifetime: float) -> None:
        self._store = store
        self._lifetime = lifetime

    def issue(self, user: Document, project: Document | None, roles: list[Document],
              methods: list[str]) -> tuple[str, Document]:
        """Return a new token and what is known of it."""
        token = secrets.token_urlsafe(32)
        now = datetime.datetime.now(datetime.UTC)
        document: Document = {
            "id": _digest(token), "user": {"id": user["id"], "name": user["name"]},
            "project": project and {"id": project["id"], "name": project["name"]},
            "roles": [{"id": role["id"], "name": role["name"]} for role in roles],
            "methods": methods, "audit_ids": [uuid.uuid4().hex[:22]],
            "issued_at": moment(now),
            "expires_at": moment(now + datetime.timedelta(seconds=self._lifetime))}
        with self._store.transaction():
            self._sweep(moment(now))
            self._store.put("token", document["id"], document, "")
        return token, document

    def _sweep(self, now: str) -> None:
        for old in self._store.list("token"):
            if old["expires_at"] < now:
                self._store.delete("token", old["id"])

    def find(self, token: str) -> Document | None:
        """Return what is known of a valid token."""
        if not token:
            return None
        found = self._store.get("token", _digest(token))
        if found is None or found["expires_at"] < moment(datetime.datetime.now(datetime.UTC)):
            return None
        return found

    def revoke(self, token: str) -> None:
        """Make a token invalid."""
        self._store.delete("token", _digest(token))

    def identify(self, token: str) -> Identity | None:
        """Return whose token it is, None if it is not valid."""
        found = self.find(token)
        if found is None:
            return None
        project: dict[str, Any] = found["project"] or {}
        return Identity(
            user_id=found["user"]["id"], user_name=found["user"]["name"],
            project_id=project.get("id"), project_name=project.get("name"),
            roles=frozenset(role["name"] for role in found["roles"]))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
