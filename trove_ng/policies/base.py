"""Rules that the others are made of."""

from __future__ import annotations

from oslo_policy import policy

CONTEXT_IS_ADMIN = "context_is_admin"
ADMIN = "rule:admin"
ADMIN_OR_OWNER = "rule:admin_or_owner"
ANYBODY = ""

_RULES = [
    policy.RuleDefault(
        CONTEXT_IS_ADMIN, "role:admin",
        description="Who is an administrator of the whole service."),
    policy.RuleDefault(
        "admin", "role:admin or is_admin:True",
        description="An administrator."),
    policy.RuleDefault(
        "admin_or_owner",
        "rule:admin or project_id:%(tenant)s",
        description="An administrator, or a member of the project that owns the "
                    "object; for what has no object, of the caller's own project."),
    policy.RuleDefault(
        "default", "rule:admin_or_owner",
        description="What holds where no rule is given."),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the base rules."""
    return list(_RULES)
