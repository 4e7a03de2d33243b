"""Passwords and keys of an all-in-one, made once."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from trove_ng.common.secret import Secret, generate_password

#: what each one protects
NAMES = (
    "admin_password",
    "service_password",
    "demo_password",
    "alt_password",
    "broker_password",
    "broker_guest_password",
    "erlang_cookie",
    "control_key",
    "instance_key",
)


class Credentials:
    """The secrets by name; the file is for root only.

    :param path: where they are kept
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, str] = {}

    def load(self, names: Sequence[str] = NAMES) -> None:
        """Read the secrets and make those that are missing."""
        if self._path.exists():
            self._values = json.loads(self._path.read_text())
        missing = [name for name in names if name not in self._values]
        for name in missing:
            self._values[name] = (
                secrets.token_urlsafe(32) if name.endswith("_key") else generate_password(24))
        if missing:
            self._save()

    def __getitem__(self, name: str) -> Secret:
        return Secret(self._values[name])

    def _save(self) -> None:
        partial = self._path.with_suffix(".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(self._values, stream, indent=2)
        partial.replace(self._path)


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that holds secrets; at no moment others can read it."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, mode)
        stream.write(text)
    partial.replace(path)
