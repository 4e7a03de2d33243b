"""Options of the store (``[database]``, oslo.db's own)."""

from __future__ import annotations

from oslo_config import cfg
from oslo_db import options


def register(conf: cfg.ConfigOpts) -> None:
    """Register oslo.db's options."""
    options.set_defaults(conf)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return nothing: the sample lists oslo.db's by their own name space."""
    return []
