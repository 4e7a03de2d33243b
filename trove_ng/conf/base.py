"""Reading the configuration of a service process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_log import log as oslo_log

from trove_ng.common.tracebacks import WithoutTexts

Registrar = Callable[[cfg.ConfigOpts], None]

PROJECT = "trove"

#: libraries that tell too much at DEBUG, some of it the content of messages
QUIET_LIBRARIES = (
    "amqp=WARNING", "amqplib=WARNING", "oslo.messaging=INFO", "oslo_messaging=INFO",
    "kombu=WARNING", "urllib3=WARNING", "requests=WARNING", "keystoneauth=WARNING",
    "keystonemiddleware=WARNING", "stevedore=WARNING", "taskflow=WARNING",
    # it warns of its own deprecation at each start
    "neutronclient=ERROR",
    "sqlalchemy=WARNING", "iso8601=WARNING", "routes=WARNING", "novaclient=WARNING",
    "cinderclient=WARNING", "glanceclient=WARNING", "swiftclient=CRITICAL", "pymysql=WARNING",
)

BASE_OPTS: list[cfg.Opt] = [
    cfg.StrOpt("region", default="RegionOne",
               help="Region that this service belongs to."),
    cfg.HostAddressOpt("host", default=None,
                       help="Name of this machine on the bus and in logs; by default its "
                            "host name."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options that every service has."""
    conf.register_opts(BASE_OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, BASE_OPTS)]


def load(argv: Sequence[str] | None, *, prog: str, registrars: Sequence[Registrar] = (),
         default_config_files: Sequence[str] | None = None,
         setup_logging: bool = True) -> cfg.ConfigOpts:
    """Return the configuration of a process, read and ready, with logging set up.

    :param argv: arguments without the program's name; None takes the process's own
    :param prog: program name, used in help and for finding files
    :param registrars: ``register`` functions of the option modules the service needs
    :param default_config_files: files read when the command line names none; None
        looks for ``trove/<prog>.conf`` and ``trove/trove.conf`` in the usual places
    :param setup_logging: False leaves the logging of the process as it is
    :raises oslo_config.cfg.Error: a file is missing or a value does not fit
    """
    conf = cfg.ConfigOpts()
    oslo_log.register_options(conf)
    oslo_log.set_defaults(default_log_levels=list(QUIET_LIBRARIES))
    register(conf)
    for registrar in registrars:
        registrar(conf)
    files = default_config_files
    if files is None:
        files = cfg.find_config_files(project=PROJECT, prog=prog)
        files += [found for found in cfg.find_config_files(project=PROJECT, prog=PROJECT)
                  if found not in files]
    conf(args=argv, project=PROJECT, prog=prog, version=version(),
         default_config_files=list(files))
    if setup_logging:
        oslo_log.setup(conf, PROJECT)
        logging.captureWarnings(True)
        for handler in logging.getLogger().handlers:
            handler.addFilter(WithoutTexts())
    return conf


def version() -> str:
    """Return the version of this software, ``unknown`` when it is not installed."""
    from importlib import metadata

    try:
        return metadata.version("trove-ng")
    except metadata.PackageNotFoundError:
        return "unknown"
