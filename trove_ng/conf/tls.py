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
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(GROUP.name, OPTS)]
