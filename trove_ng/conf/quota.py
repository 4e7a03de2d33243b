"""Limits of a project that has none of its own."""

from __future__ import annotations

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.IntOpt("max_instances_per_tenant", default=10, min=-1,
               help="Instances of a project; -1 is unlimited, here and below."),
    cfg.IntOpt("max_volumes_per_tenant", default=40, min=-1,
               help="Gigabytes of volumes of a project."),
    cfg.IntOpt("max_backups_per_tenant", default=50, min=-1,
               help="Backups of a project."),
    cfg.IntOpt("max_ram_per_tenant", default=-1, min=-1,
               help="Mebibytes of memory of a project's instances."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the default limits."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]


def defaults(conf: cfg.ConfigOpts) -> dict[str, int]:
    """Return resource → configured limit."""
    return {
        "instances": conf.max_instances_per_tenant,
        "volumes": conf.max_volumes_per_tenant,
        "backups": conf.max_backups_per_tenant,
        "ram": conf.max_ram_per_tenant,
    }
