"""The part of cloud-init that servers need: files from user data."""

from __future__ import annotations

import base64
import binascii
import gzip
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = "#cloud-config"
_BASE64 = ("b64", "base64")
_GZIP = ("gz", "gzip")
_GZIP_BASE64 = ("gz+b64", "gzip+b64", "gz+base64", "gzip+base64")


class UserDataError(ValueError):
    """User data that cannot be used; the text goes to the console."""


@dataclass(frozen=True)
class File:
    """One entry of ``write_files``; ``owner`` is ``user`` or ``user:group``."""

    path: str
    content: bytes
    owner: str
    mode: int
    append: bool


def parse(user_data: bytes) -> tuple[list[File], list[str]]:
    """Return the files of user data, and the keys that are not supported.

    User data without the ``#cloud-config`` header has neither.

    :raises UserDataError: not YAML, or an entry is wrong
    """
    if user_data[:2] == b"\x1f\x8b":
        user_data = _unzip(user_data)
    text = user_data.decode("utf-8", "replace")
    if not text.startswith(HEADER):
        return [], []
    # yaml is needed by servers with user data only, and slow to load
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserDataError(f"user data is not YAML: {error}") from error
    if document is None:
        return [], []
    if not isinstance(document, dict):
        raise UserDataError("user data is not a mapping")
    files = [_file(entry) for entry in document.get("write_files") or []]
    return files, sorted(str(key) for key in document if key != "write_files")


def _file(entry: Any) -> File:
    if not isinstance(entry, dict) or not str(entry.get("path", "")).startswith("/"):
        raise UserDataError("an entry of write_files has no absolute path")
    mode = entry.get("permissions", 0o644)
    try:
        mode = int(mode, 8) if isinstance(mode, str) else int(mode)
    except ValueError:
        raise UserDataError(f"permissions {mode!r} are not octal") from None
    return File(
        path=str(entry["path"]),
        content=_decode(entry.get("content", ""), str(entry.get("encoding", "")).lower()),
        owner=str(entry.get("owner", "root:root")),
        mode=mode & 0o7777,
        append=bool(entry.get("append", False)),
    )


def _decode(content: str | bytes, encoding: str) -> bytes:
    raw = content if isinstance(content, bytes) else str(content).encode()
    try:
        if encoding in _BASE64:
            return _unbase64(raw)
        if encoding in _GZIP_BASE64:
            return _unzip(_unbase64(raw))
    except binascii.Error as error:
        raise UserDataError(f"content is not base64: {error}") from error
    if encoding in _GZIP:
        return _unzip(raw)
    if encoding in ("", "text/plain"):
        return raw
    raise UserDataError(f"encoding {encoding!r} is not known")


def _unbase64(content: bytes) -> bytes:
    # block scalars of YAML bring line breaks
    return base64.b64decode(b"".join(content.split()), validate=True)


def _unzip(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserDataError(f"content is not gzip: {error}") from error


def write(file: File, root: Path = Path("/")) -> None:
    """Write one file with its owner and mode; its directories are made.

    The content is never readable for more than the mode allows.

    :param root: where ``/`` is, for tests
    :raises UserDataError: the owner does not exist here
    """
    target = root / file.path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    user, _, group = file.owner.partition(":")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if file.append else os.O_TRUNC)
    descriptor = os.open(target, flags, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(file.content)
    try:
        if user:
            shutil.chown(target, user=user)
        if group:
            shutil.chown(target, group=group)
    except LookupError as error:
        raise UserDataError(f"owner {file.owner!r}: {error}") from error
    target.chmod(file.mode)
