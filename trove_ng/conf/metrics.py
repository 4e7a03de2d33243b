"""Options of what Prometheus scrapes."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "metrics"

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=False,
                help="Whether the API, the taskmanager and the conductor answer GET /metrics "
                     "for Prometheus, and GET /healthz, each on a port of its own."),
    cfg.HostAddressOpt("bind_host", default="127.0.0.1",
                       help="Address of these ports. There is no authentication and no TLS: "
                            "name none that customers reach."),
    cfg.PortOpt("api_port", default=9779,
                help="Port of the API, for all of its workers together."),
    cfg.PortOpt("taskmanager_port", default=9780,
                help="Port of the taskmanager. A second one on the same machine needs "
                     "another port."),
    cfg.PortOpt("conductor_port", default=9781,
                help="Port of the conductor. A second one on the same machine needs another "
                     "port."),
    cfg.StrOpt("worker_dir",
               help="Directory below which the API's workers keep their numbers; each start "
                    "makes a directory of its own there and removes it at its end. It should "
                    "be on a tmpfs. By default the directory for temporary files."),
    cfg.FloatOpt("store_cache_time", default=15, min=0,
                 help="Seconds that a taskmanager remembers what it counted in the store for "
                      "a scrape."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS, GROUP)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(GROUP, OPTS)]
