"""Options of the conductor."""

from __future__ import annotations

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.IntOpt("conductor_batch_size", default=200, min=1,
               help="Heartbeats written to the store in one statement."),
    cfg.FloatOpt("conductor_batch_wait", default=0.02, min=0,
                 help="Seconds that a heartbeat waits for others to be written with."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the conductor's options."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]
