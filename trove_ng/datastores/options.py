"""Options of the installed datastores, each in a group of its name."""

from __future__ import annotations

from oslo_config import cfg

from trove_ng.datastores.base import Datastore, load_datastores


def _options(engine: Datastore) -> list[cfg.Opt]:
    return [cfg.StrOpt(
        "backup_strategy", default=engine.backup_strategy,
        help="How new backups are made; an entry point name of "
             f"trove_ng.guestagent.backup.{engine.manager} that is installed in the images. "
             "Backups that were made in another way are restored in theirs, and not continued.")]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options of the datastores that make backups."""
    return [(name, _options(one)) for name, one in sorted(load_datastores().items())
            if one.capabilities.backups]


def register(conf: cfg.ConfigOpts) -> None:
    """Register these options."""
    for group, opts in list_opts():
        conf.register_opts(opts, group=group)


def backup_strategy(conf: cfg.ConfigOpts, engine: Datastore) -> str:
    """Return the name of the way in which new backups of a datastore are made."""
    return str(conf[engine.manager].backup_strategy)
