"""``trove-standalone``: everything on one machine."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trove_ng.standalone.launcher.layout import Layout
    from trove_ng.standalone.launcher.progress import Progress


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    from trove_ng.standalone.launcher.errors import LauncherError
    from trove_ng.standalone.launcher.layout import Layout
    from trove_ng.standalone.launcher.progress import Progress
    from trove_ng.standalone.minicloud.hypervisor import HypervisorError

    try:
        return _run(options, Layout(options.state_dir), Progress())
    except (LauncherError, HypervisorError, TimeoutError) as error:
        sys.stderr.write(f"error: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
    return 1


def _run(options: argparse.Namespace, layout: Layout, progress: Progress) -> int:
    from trove_ng.standalone.launcher import preflight

    # before the rest is loaded, which a wrong machine may not have
    preflight.check_machine()
    from trove_ng.standalone.launcher.commands import AllInOne
    from trove_ng.standalone.launcher.demo import Demo

    one = AllInOne(layout, progress)
    if options.command == "up":
        one.up(options.bind, options.database_url, options.regions)
    elif options.command == "down":
        one.down()
    elif options.command == "destroy":
        one.destroy()
    elif options.command == "status":
        return one.status()
    else:
        Demo(layout, progress).run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trove-standalone",
        description="Database as a Service on one Linux machine, without an OpenStack.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state-dir", type=Path, default=Path("/var/lib/trove-standalone"), metavar="DIR",
        help="where everything is kept (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up", parents=[common], help="make it if need be, start it, wait until it is ready")
    up.add_argument(
        "--bind", metavar="ADDR",
        help="address of the API and the identity endpoints (default: 127.0.0.1)")
    up.add_argument(
        "--database-url", metavar="URL",
        help="SQLAlchemy URL of the store (default: SQLite in the state directory)")
    up.add_argument(
        "--regions", metavar="NAME[,NAME...]", type=lambda text: text.split(","),
        help="names of the regions, that of the services first; more can be added later"
             " (default: RegionOne)")
    for name, text in (
        ("status", "show services and servers"),
        ("down", "stop servers and services, keep the data"),
        ("destroy", "stop everything and remove every trace"),
        ("demo", "create a database, fill it, back it up, delete it, restore it"),
    ):
        commands.add_parser(name, parents=[common], help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
