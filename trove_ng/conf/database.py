"""Options of the store: oslo.db's own (``[database]``), and how long it is waited for."""

from __future__ import annotations

from oslo_config import cfg
from oslo_db import options

GROUP = "store"

OPTS: list[cfg.Opt] = [
    cfg.IntOpt("connect_timeout", default=5, min=1,
               help="Seconds that connecting to the database server may take. While it "
                    "does not answer, one connection at a time is tried and all other "
                    "requests are refused at once."),
    cfg.IntOpt("answer_timeout", default=10, min=1,
               help="Seconds that the database server may take for one statement; then the "
                    "connection is given up. trove-manage waits as long as it takes."),
    cfg.IntOpt("lock_timeout", default=5, min=1,
               help="Seconds that a statement waits for a lock. It must be below "
                    "'answer_timeout'."),
    cfg.IntOpt("idle_transaction_timeout", default=20, min=1,
               help="Seconds after which the database server ends a transaction whose "
                    "process says nothing, and frees its locks (MariaDB and PostgreSQL)."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register oslo.db's options and those of our own."""
    options.set_defaults(conf)
    conf.register_opts(OPTS, GROUP)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return our options; the sample lists oslo.db's by their own name space."""
    return [(GROUP, OPTS)]
