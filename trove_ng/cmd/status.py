"""``trove-status upgrade check``."""

from __future__ import annotations

import argparse
import logging
import sys

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.conf import base, database, rpc

PROG = "trove-status"


def main(argv: list[str] | None = None) -> int:
    """Run the checks; return 0 (good), 1 (warnings), 2 (failures) or 255 (cannot run)."""
    process.prepare()
    parser = argparse.ArgumentParser(prog=PROG, description="State of the service.")
    parser.add_argument("--config-file", action="append", default=[], metavar="FILE")
    parser.add_argument("--config-dir", action="append", default=[], metavar="DIR")
    commands = parser.add_subparsers(dest="category", required=True)
    upgrade = commands.add_parser("upgrade", help="about upgrades")
    upgrade.add_subparsers(dest="command", required=True).add_parser(
        "check", help="say whether the services can be upgraded and started")
    options = parser.parse_args(argv)
    files = [f"--config-file={one}" for one in options.config_file]
    files += [f"--config-dir={one}" for one in options.config_dir]
    try:
        conf = base.load(files, prog=PROG, registrars=(database.register, rpc.register))
    except cfg.Error as err:
        process.refuse(PROG, err)
        return 255
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from trove_ng.manage import checks

    return int(checks.make(conf).check())


if __name__ == "__main__":
    sys.exit(main())
