"""Who may do what: the rules of oslo.policy, in code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oslo_config import cfg
    from oslo_policy import policy


def list_rules() -> list[Any]:
    """Return all rules with their defaults (``oslo.policy.policies`` entry point)."""
    from trove_ng.policies import base, rules

    return [*base.list_rules(), *rules.list_rules()]


def make_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    """Return an enforcer that knows all rules, with the operator's file applied."""
    from oslo_policy import opts, policy

    opts.set_defaults(conf, policy_file="policy.yaml")
    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(list_rules())
    enforcer.load_rules()
    return enforcer


def get_enforcer() -> policy.Enforcer:
    """Return an enforcer for the tools of oslo.policy, which read ``sys.argv``."""
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    # The tools' own options come after a namespace that is not for this parser.
    arguments = [item for index, item in enumerate(sys.argv[1:], 1)
                 if item.startswith("--config-")
                 or sys.argv[index - 1] in ("--config-file", "--config-dir")]
    conf(arguments, project="trove")
    return make_enforcer(conf)
