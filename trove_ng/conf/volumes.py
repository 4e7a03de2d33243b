"""Options of volumes that API and taskmanager share."""

from __future__ import annotations

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.StrOpt("cinder_volume_type",
               help="Volume type of volumes whose request names none; by default the volume "
                    "service's own, or the only one that the datastore version is limited to."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]
