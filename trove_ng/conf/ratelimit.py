"""Options of the API's rate limits."""

from __future__ import annotations

from oslo_config import cfg


def _rate(name: str, what: str) -> cfg.Opt:
    return cfg.IntOpt(name, default=200, min=0,
                      help=f"{what} that a project may send to one worker in a minute; 0: "
                           "as many as it likes.")


RATE_OPTS: list[cfg.Opt] = [
    _rate("http_get_rate", "GET requests"),
    _rate("http_post_rate", "POST requests"),
    _rate("http_put_rate", "PUT and PATCH requests"),
    _rate("http_delete_rate", "DELETE requests"),
    _rate("http_mgmt_post_rate", "POST requests below /mgmt"),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options of the rate limits."""
    conf.register_opts(RATE_OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, RATE_OPTS)]
