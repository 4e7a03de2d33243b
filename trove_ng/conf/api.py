"""Options of the API service."""

from __future__ import annotations

from oslo_config import cfg

from trove_ng.conf import health, modules, tls, volumes

SERVER_OPTS: list[cfg.Opt] = [
    cfg.HostAddressOpt("bind_host", default="0.0.0.0",  # noqa: S104 - a public service
                       help="Address the API listens on."),
    cfg.PortOpt("bind_port", default=8779, help="Port the API listens on."),
    cfg.IntOpt("trove_api_workers", min=1,
               help="Processes that answer requests; by default one a processor."),
]

API_OPTS: list[cfg.Opt] = [
    cfg.IntOpt("threads", default=4, min=1,
               help="Threads of a worker. Calls that wait for a guest hold one; each costs the "
                    "others a little speed."),
    cfg.IntOpt("request_timeout", default=120, min=1,
               help="Seconds after which a worker that stopped answering is replaced."),
    cfg.FloatOpt("cloud_timeout", default=10, min=1,
                 help="Seconds that a request waits for an answer of a service of the cloud, "
                      "twice at most, before it is answered with 503."),
    cfg.IntOpt("token_cache_time", default=60, min=0,
               help="Seconds that a validated token is remembered in a worker, so that the "
                    "identity service is not asked with each request; a revoked token is "
                    "good that long. 0 turns it off."),
    cfg.IntOpt("token_cache_size", default=10000, min=1,
               help="Tokens that a worker remembers at most."),
    cfg.FloatOpt("datastore_cache_time", default=5, min=0,
                 help="Seconds that the list of datastores is remembered in a worker. What this "
                      "process changes shows at once; what trove-manage or the API on another "
                      "host changes, after that time. 0 turns it off."),
    cfg.IntOpt("max_request_body_size", default=114688, min=1024,
               help="Bytes of a request body at most."),
    cfg.URIOpt("public_endpoint", schemes=["http", "https"],
               help="Start of the URLs in answers; by default what the client used."),
    cfg.IntOpt("max_page_size", default=20, min=1,
               help="Resources in one page of a list at most, and without a limit."),
]

LIMIT_OPTS: list[cfg.Opt] = [
    cfg.IntOpt("max_accepted_volume_size", default=10, min=1,
               help="GB of a volume at most."),
    cfg.BoolOpt("trove_volume_support", default=True,
                help="Whether data lives on volumes; if not, on the root disk."),
    cfg.ListOpt("root_on_create", default=[],
                help="Datastore managers whose new instances have root enabled, with the "
                     "password in the answer to the create request."),
    cfg.ListOpt("ignore_dbs", default=[],
                help="Database names that nobody may create, besides the datastore's own."),
    cfg.IntOpt("max_schedules_per_instance", default=10, min=0,
               help="Schedules of backups that an instance may have."),
    cfg.StrOpt("default_datastore", default=None,
               help="Id or name of the datastore for requests that name none."),
]


PACKAGE = "agent_package"
PACKAGE_OPTS: list[cfg.Opt] = [
    cfg.StrOpt("version", regex=r"^[0-9A-Za-z][0-9A-Za-z.+!_-]{0,63}$",
               help="Version of the guest agents that operators may upgrade instances to."),
    cfg.URIOpt("location", schemes=["http", "https"],
               help="Where guests fetch its package from: a wheel of this software that the "
                    "guests' images have all libraries for."),
    cfg.StrOpt("sha256", regex="^[0-9a-fA-F]{64}$",
               help="Checksum of the package."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options of the API service."""
    conf.register_opts(PACKAGE_OPTS, group=PACKAGE)
    health.register(conf)
    modules.register(conf)
    tls.register(conf)
    volumes.register(conf)
    conf.register_opts(SERVER_OPTS)
    conf.register_opts(LIMIT_OPTS)
    conf.register_opts(API_OPTS, group="api")


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, SERVER_OPTS + LIMIT_OPTS), ("api", API_OPTS),
            (PACKAGE, PACKAGE_OPTS)]
