"""Options of the cloud that instances are made in."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "service_credentials"

OPTS: list[cfg.Opt] = [
    cfg.StrOpt("auth_url", help="URL of the identity service, for example "
                                "https://keystone.example.org/v3."),
    cfg.StrOpt("username", default="trove", help="User of the service."),
    cfg.StrOpt("password", secret=True, help="Its password."),
    cfg.StrOpt("project_name", default="service",
               help="Project that owns servers, volumes and ports."),
    cfg.StrOpt("user_domain_name", default="Default", help="Domain of the user."),
    cfg.StrOpt("project_domain_name", default="Default", help="Domain of the project."),
    cfg.StrOpt("region_name",
               help="Region in which instances are made unless another one is asked for; by "
                    "default the region that this service belongs to (see 'region')."),
    cfg.StrOpt("interface", default="public", choices=["public", "internal", "admin"],
               help="Which endpoints of the catalog are used."),
    cfg.StrOpt("cafile", help="Certificates that are trusted, PEM."),
    cfg.BoolOpt("insecure", default=False, help="Do not verify certificates."),
    cfg.FloatOpt("timeout", default=60, min=1, help="Seconds that a call may take."),
    cfg.IntOpt("tries", default=4, min=1,
               help="Times that a call which may be repeated is made while a service does not "
                    "answer."),
    cfg.FloatOpt("catalog_cache_time", default=60, min=0,
                 help="Seconds that flavors, volume types, networks and zones are "
                      "remembered."),
    cfg.StrOpt("nova_microversion", default="2.26", help="Version of the compute API."),
    cfg.StrOpt("cinder_microversion", default="3.42", help="Version of the volume API."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS, GROUP)


def own_region(conf: cfg.ConfigOpts) -> str:
    """Return the region in which instances are made unless another one is asked for."""
    return str(conf.service_credentials.region_name or conf.region)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(GROUP, OPTS)]
