"""Signed URLs.

Wire format: Swift's TempURL middleware (``temp_url_sig``, ``temp_url_expires``,
``temp_url_prefix``), digests in hex.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

_DIGESTS = {40: "sha1", 64: "sha256", 128: "sha512"}
#: method → methods whose signature allows it
_ALLOWED_BY = {"HEAD": ("HEAD", "GET", "PUT", "POST"), "GET": ("GET",), "PUT": ("PUT",),
               "POST": ("POST",), "DELETE": ("DELETE",)}


def is_signed(args: Mapping[str, str]) -> bool:
    """Return whether a query has a signature."""
    return "temp_url_sig" in args or "temp_url_expires" in args


def allows(method: str, path: str, args: Mapping[str, str], keys: Iterable[str]) -> bool:
    """Return whether the signature of a URL allows a call.

    :param path: ``/v1/account/container/object``, decoded
    :param keys: the account's and the container's secrets
    """
    signature, expires = args.get("temp_url_sig", ""), _expires(args.get("temp_url_expires"))
    digest = _DIGESTS.get(len(signature))
    if digest is None or expires is None or expires < time.time():
        return False
    signed = path
    prefix = args.get("temp_url_prefix")
    if prefix is not None:
        parts = path.split("/", 4)
        if len(parts) < 5 or not parts[4].startswith(prefix):
            return False
        signed = "prefix:" + "/".join([*parts[:4], prefix])
    return any(
        hmac.compare_digest(signature, _sign(key, by, expires, signed, digest))
        for key in keys for by in _ALLOWED_BY.get(method, ()))


def _sign(key: str, method: str, expires: int, path: str, digest: str) -> str:
    text = f"{method}\n{expires}\n{path}"
    return hmac.new(key.encode(), text.encode(), digest).hexdigest()


def _expires(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None
