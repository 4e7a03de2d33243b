"""What a handler of Nova knows of a request, whatever web library brought it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
Answer = tuple[int, Document | None]
Version = tuple[int, int]


@dataclass(frozen=True)
class Caller:
    """Who asks, and at which microversion."""

    project_id: str
    user_id: str
    admin: bool
    version: Version

    @property
    def owner(self) -> str | None:
        """The project whose resources may be touched; None for an administrator: all."""
        return None if self.admin else self.project_id


@dataclass(frozen=True)
class Call:
    """One request: its caller, its body (None without one), query and the service's address."""

    caller: Caller
    body: Any
    query: Mapping[str, list[str]] = field(default_factory=dict)
    base: str = ""

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return the last value of a query parameter."""
        values = self.query.get(name)
        return values[-1] if values else default

    def truth(self, name: str) -> bool:
        """Return whether a query parameter is given and true."""
        value = self.one(name)
        return value is not None and value.lower() in ("1", "true", "yes", "on", "t", "y", "")


class CloudFault(Exception):
    """A refusal of one of the services: HTTP status, text, and the service's name of it."""

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
