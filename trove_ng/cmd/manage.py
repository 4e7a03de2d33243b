"""``trove-manage``."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.conf import base, cloud, database, operations, quota, rpc, taskmanager

if TYPE_CHECKING:
    from trove_ng.manage.command import Tools

PROG = "trove-manage"


def main(argv: list[str] | None = None) -> int:
    """Run a command; return 0, or 1 when it failed (2 for a wrong command line)."""
    process.prepare()
    from trove_ng.manage import parser
    from trove_ng.manage.command import Tools

    options = parser.make().parse_args(argv)
    try:
        conf = base.load(_conf_args(options), prog=PROG, registrars=(
            database.register, rpc.register, quota.register, cloud.register,
            taskmanager.register, operations.register, _log_apart))
    except cfg.Error as err:
        return process.refuse(PROG, err)
    if not options.debug:
        logging.getLogger("alembic").setLevel(logging.WARNING)
    return run(options, Tools(conf, _say))


def _log_apart(conf: cfg.ConfigOpts) -> None:
    """Keep logs out of the output, which may be read by a program."""
    conf.set_default("use_stderr", True)


def _conf_args(options: argparse.Namespace) -> list[str]:
    found = [f"--config-file={one}" for one in options.config_file]
    found += [f"--config-dir={one}" for one in options.config_dir]
    return [*found, "--debug"] if options.debug else found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def run(options: argparse.Namespace, tools: Tools) -> int:
    """Run the chosen command; what goes wrong is one line on standard error.

    :return: the exit code: the command's, or 1 when it failed
    """
    from oslo_db.exception import DBError, DBNonExistentTable
    from sqlalchemy.exc import SQLAlchemyError

    from trove_ng.common.errors import TroveError
    from trove_ng.db.trouble import StoreAway

    try:
        return options.command.run(tools, options) or 0
    except StoreAway as err:
        if options.debug:
            raise
        return process.refuse(PROG, RuntimeError(
            f"the store refused: {str(err.__cause__ or err).splitlines()[0]} "
            "(more with --debug)"))
    except TroveError as err:
        return process.refuse(PROG, err)
    except (DBError, SQLAlchemyError, ImportError) as err:
        # ImportError: the store's driver is not installed
        if options.debug:
            raise
        if isinstance(err, DBNonExistentTable):
            return process.refuse(PROG, RuntimeError(
                "the store has no schema, or an old one: run 'trove-manage db_sync'"))
        return process.refuse(PROG, RuntimeError(
            f"the store refused: {str(err).splitlines()[0]} (more with --debug)"))


if __name__ == "__main__":
    sys.exit(main())
