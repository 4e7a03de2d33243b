"""The command line of ``trove-manage``."""

from __future__ import annotations

import argparse
from typing import Any

from trove_ng.manage import (
    backups,
    datastores,
    events,
    key_rotation,
    keys,
    operations,
    quotas,
    reconcile,
    schema,
    tls,
    visibility,
    volumes,
)
from trove_ng.manage.command import Command

COMMANDS: tuple[Command, ...] = (
    *schema.COMMANDS, *datastores.COMMANDS, *visibility.COMMANDS, *quotas.COMMANDS, *keys.COMMANDS,
    *key_rotation.COMMANDS, *operations.COMMANDS, *events.COMMANDS, *reconcile.COMMANDS,
    *volumes.COMMANDS, *backups.COMMANDS, *tls.COMMANDS)


def make() -> argparse.ArgumentParser:
    """Return the parser; the chosen command is ``command`` of its result."""
    parser = argparse.ArgumentParser(
        prog="trove-manage", description="Administration of the database service.")
    parser.add_argument("--config-file", action="append", default=[], metavar="FILE",
                        help="may be given several times")
    parser.add_argument("--config-dir", action="append", default=[], metavar="DIR")
    parser.add_argument("--debug", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            options: dict[str, Any] = dict(argument.options)
            one.add_argument(*argument.names, **options)
        one.set_defaults(command=command)
    return parser
