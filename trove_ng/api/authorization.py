"""Asking the policy, with a short memory: the hot path asks the same all the time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import Forbidden
from trove_ng.policies import make_enforcer

if TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

#: seconds that a decision is remembered; a changed policy file works after that
_MEMORY = 5.0
_MOST = 10000


class Authorizer:
    """Decide what a caller may do.

    :raises Exception: whatever oslo.policy raises about a policy file that it cannot read,
        or whose rules refer to rules that there are not
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._enforcer = make_enforcer(conf)
        self._enforcer.check_rules(raise_on_violation=True)
        self._known: dict[tuple[object, ...], tuple[float, bool]] = {}

    def allows(self, context: RequestContext, rule: str, tenant_id: str) -> bool:
        """Return True if the caller passes the rule for an object of this project."""
        key = (rule, tenant_id, context.project_id, context.user_id, context.roles)
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return known[1]
        self._reload()
        allowed = bool(self._enforcer.enforce(
            rule, {"tenant": tenant_id, "tenant_id": tenant_id, "project_id": tenant_id},
            {"project_id": context.project_id, "tenant": context.project_id,
             "user_id": context.user_id, "roles": list(context.roles),
             "is_admin": context.is_admin}))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (now + _MEMORY, allowed)
        return allowed

    def _reload(self) -> None:
        """Read the policy files again if they changed; while one is broken nothing changes."""
        try:
            self._enforcer.load_rules()
        except Exception:
            # oslo.policy lets out whatever its parts raise
            LOG.exception("the policy file cannot be read; what held before holds")

    def check(self, context: RequestContext, rule: str, tenant_id: str) -> None:
        """Raise if the caller does not pass.

        :raises Forbidden: the rule says no
        """
        if not self.allows(context, rule, tenant_id):
            raise Forbidden(f"The policy rule {rule} does not allow this.")

    def is_admin(self, context: RequestContext) -> bool:
        """Return True if the caller is an administrator of the service."""
        return self.allows(context, "context_is_admin", context.project_id)
