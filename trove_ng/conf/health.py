"""Options about the health of instances, of more than one service."""

from __future__ import annotations

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.IntOpt("agent_heartbeat_expiry", default=60, min=1,
               help="Seconds after which an agent's last heartbeat says nothing any more."),
    cfg.FloatOpt("heartbeat_check_interval", default=10, min=0.1,
                 help="Seconds between two looks for agents that are silent."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]
