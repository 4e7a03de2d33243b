"""Who a token belongs to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """A user with the project and roles of its token; no project when it is unscoped."""

    user_id: str
    user_name: str
    project_id: str | None
    project_name: str | None
    roles: frozenset[str]

    @property
    def admin(self) -> bool:
        """True if the user may do everything everywhere."""
        return "admin" in self.roles
