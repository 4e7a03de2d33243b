"""Options of names for instances."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "dns"

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=False, deprecated_group="DEFAULT",
                deprecated_name="trove_dns_support",
                help="Give instances a name, <instance>.<domain_name>."),
    cfg.StrOpt("driver", default="designate",
               help="What registers names, an entry point of trove_ng.dns."),
    cfg.StrOpt("domain_name", deprecated_group="DEFAULT", deprecated_name="dns_domain_name",
               help="Domain of the names, for example db.example.org."),
    cfg.StrOpt("domain_id", deprecated_group="DEFAULT", deprecated_name="dns_domain_id",
               help="Id of the domain's zone; by default it is looked up."),
    cfg.IntOpt("ttl", default=300, min=1, deprecated_group="DEFAULT", deprecated_name="dns_ttl",
               help="Seconds that others may remember an address."),
    cfg.FloatOpt("timeout", default=120, min=1, deprecated_group="DEFAULT",
                 deprecated_name="dns_time_out",
                 help="Seconds until a name must be served."),
    cfg.URIOpt("endpoint_url", schemes=["http", "https"], deprecated_group="DEFAULT",
               deprecated_name="dns_endpoint_url",
               help="Where the DNS service answers, without /v2; by default as in the "
                    "catalog."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS, GROUP)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(GROUP, OPTS)]
