"""Options of the certificates that the service issues to database servers."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("tls", title="Certificates of database servers")
OPTS: list[cfg.Opt] = [
    cfg.StrOpt("ca_certificate",
               help="File of the authority's certificate, in PEM form, followed by those "
                    "between it and a root if it is none; 'trove-manage tls_authority_create' "
                    "makes one. Without it the service issues no certificates, and requests "
                    "have to name theirs. API and taskmanager read it."),
    cfg.StrOpt("ca_private_key",
               help="File of the authority's private key, in PEM form and not encrypted. Only "
                    "the taskmanager reads it."),
    cfg.IntOpt("certificate_days", default=365, min=1,
               help="Days that a certificate is good, but not longer than the authority's."),
    cfg.IntOpt("renew_before_days", default=30, min=0,
               help="Days before their end from which on certificates that the service issued "
                    "are renewed, and owners are told of theirs; but not before half of "
                    "'certificate_days' is over. 0 renews none and tells nobody."),
    cfg.IntOpt("renew_limit", default=5, min=1,
               help="Certificates that are issued and put in force at the same time, of all "
                    "those that are renewed."),
    cfg.FloatOpt("renew_interval", default=300, min=1,
                 help="Seconds between two looks for certificates that end soon, whichever "
                      "taskmanager does them."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(GROUP.name, OPTS)]
