"""``trove-manage``."""

from __future__ import annotations

import argparse
import sys

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.conf import base, database, quota, rpc

PROG = "trove-manage"


def main(argv: list[str] | None = None) -> int:
    """Run a command; return 0, or 1 when it failed (2 for a wrong command line)."""
    from trove_ng.manage import parser

    process.prepare()
    options = parser.make().parse_args(argv)
    try:
        conf = base.load(_conf_args(options), prog=PROG, registrars=(
            database.register, rpc.register, quota.register))
    except cfg.Error as err:
        return process.refuse(PROG, err)
    return _run(options, conf)


def _conf_args(options: argparse.Namespace) -> list[str]:
    found = [f"--config-file={one}" for one in options.config_file]
    found += [f"--config-dir={one}" for one in options.config_dir]
    return [*found, "--debug"] if options.debug else found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _run(options: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    from oslo_db.exception import DBError
    from sqlalchemy.exc import SQLAlchemyError

    from trove_ng.common.errors import TroveError
    from trove_ng.db.session import Database
    from trove_ng.manage.command import Tools

    tools = Tools(conf, Database(conf), _say)
    try:
        options.command.run(tools, options)
    except TroveError as err:
        return process.refuse(PROG, err)
    except (DBError, SQLAlchemyError) as err:
        if options.debug:
            raise
        return process.refuse(PROG, RuntimeError(
            f"the store refused: {str(err).splitlines()[0]} (more with --debug)"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
