"""Rules that the others are made of."""

from __future__ import annotations

from oslo_policy import policy

CONTEXT_IS_ADMIN = "context_is_admin"
ADMIN = "rule:admin"
#: changes: members of the project
MEMBER = "rule:project_member_or_admin"
#: reads: members and readers of the project
READER = "rule:project_reader_or_admin"
ANYBODY = ""

_RULES = [
    policy.RuleDefault(
        CONTEXT_IS_ADMIN, "role:admin",
        description="Who is an administrator of the whole service."),
    policy.RuleDefault(
        "admin", "role:admin or is_admin:True",
        description="An administrator."),
    policy.RuleDefault(
        "project_member", "role:member and project_id:%(tenant)s",
        description="A member of the project that owns the object; for what has no object, "
                    "of the caller's own project."),
    policy.RuleDefault(
        "project_reader",
        "(role:reader or role:member) and project_id:%(tenant)s",
        description="Who may read what the project owns. Keystone gives members the role "
                    "reader too; where it does not, the role member is enough."),
    policy.RuleDefault(
        "project_member_or_admin", "rule:admin or rule:project_member",
        description="Who may change what a project owns."),
    policy.RuleDefault(
        "project_reader_or_admin", "rule:admin or rule:project_reader",
        description="Who may read what a project owns."),
    policy.RuleDefault(
        "admin_or_owner", "rule:admin or project_id:%(tenant)s",
        description="For policy files: an administrator, or whoever has any role in the "
                    "project that owns the object. No rule has this default."),
    policy.RuleDefault(
        "default", "rule:project_member_or_admin",
        description="What holds where no rule is given."),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the base rules."""
    return list(_RULES)
