"""``openstack database schedule …``: backups at fixed times."""

from __future__ import annotations

import argparse

from osc_lib.exceptions import CommandError

from trove_ng.osc.client import Client, Item
from trove_ng.osc.commands import (
    Lister,
    OfOne,
    Shown,
    ShowOne,
    Table,
    given,
    one,
    paged,
    table,
)

_FIELDS = ("id", "name", "instance_id", "pattern", "time_zone", "paused", "next_run_at",
           "last_run_at")
_EXECUTION = ("id", "tick_at", "state", "backup_id", "verification", "output")
_PLAIN = ("name", "description", "pattern", "time_zone", "full_every", "keep_count",
          "keep_days", "paused")


def _path(client: Client, name_or_id: str) -> str:
    return f"schedules/{client.find('schedules', 'schedules', name_or_id)['id']}"


def _describe(parser: argparse.ArgumentParser) -> None:
    """Add the options that create and set share."""
    parser.add_argument("--description", metavar="<description>")
    parser.add_argument("--time-zone", metavar="<zone>",
                        help="as Europe/Berlin, in which the pattern is meant (default: UTC)")
    parser.add_argument("--full-every", type=int, metavar="<number>",
                        help="every nth backup is a full one, the others continue it "
                             "(default: 1)")
    parser.add_argument("--keep-count", type=int, metavar="<number>",
                        help="keep so many of its backups (default: all)")
    parser.add_argument("--keep-days", type=int, metavar="<days>",
                        help="keep its backups so long (default: for ever)")
    verify = parser.add_mutually_exclusive_group()
    verify.add_argument("--verify-every", dest="verify", type=_every, metavar="<number>",
                        help="restore every nth backup where nobody sees it, and look through "
                             "the data")
    verify.add_argument("--verify-pattern", dest="verify", type=_at, metavar="<pattern>",
                        help="do so with the newest one at times of its own: '0 4 * * 0'")
    verify.add_argument("--no-verify", dest="verify", action="store_const", const={},
                        help="do so with none (default)")
    paused = parser.add_mutually_exclusive_group()
    paused.add_argument("--pause", dest="paused", action="store_const", const=True,
                        help="make no backups")
    paused.add_argument("--resume", dest="paused", action="store_const", const=False,
                        help="make backups")


def _every(text: str) -> Item:
    return {"every": int(text)}


def _at(text: str) -> Item:
    return {"pattern": text}


def _wanted(parsed_args: argparse.Namespace) -> Item:
    """Return what the options say of a schedule."""
    wanted = given(parsed_args, (*_PLAIN, "verify"))
    if wanted.get("verify") == {}:
        wanted["verify"] = None
    return wanted


class CreateSchedule(ShowOne):
    """Make backups of an instance at fixed times."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("instance", metavar="<instance>", help="name or ID")
        parser.add_argument("pattern", metavar="<pattern>",
                            help="minute, hour, day, month, day of week: '0 2 * * *'")
        parser.add_argument("name", metavar="<name>", help="of the schedule and its backups")
        _describe(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Create it; return the fields."""
        instance = self.client.find("instances", "instances", parsed_args.instance)["id"]
        made = self.client.request("POST", "schedules", {
            "schedule": {"instance": instance, **_wanted(parsed_args)}})
        return one(made["schedule"])


class ListSchedules(Lister):
    """List schedules."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--instance", metavar="<instance>", help="name or ID: those of it")
        paged(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        query: Item = {}
        if parsed_args.instance:
            query["instance_id"] = self.client.find(
                "instances", "instances", parsed_args.instance)["id"]
        return table(_FIELDS, self.client.pages(
            "schedules", "schedules", parsed_args.limit, query))


class ShowSchedule(OfOne, ShowOne):
    """Show a schedule."""

    of = "schedule"

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Return the fields."""
        return one(self.client.find("schedules", "schedules", parsed_args.schedule))


class SetSchedule(OfOne, ShowOne):
    """Change, pause or resume a schedule."""

    of = "schedule"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--name", metavar="<name>")
        parser.add_argument("--pattern", metavar="<pattern>")
        _describe(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Change it; return the fields."""
        wanted = _wanted(parsed_args)
        if not wanted:
            raise CommandError("Nothing is to be changed: give an option.")
        path = _path(self.client, parsed_args.schedule)
        return one(self.client.request("PATCH", path, {"schedule": wanted})["schedule"])


class DeleteSchedule(OfOne):
    """Delete a schedule; its backups stay."""

    of = "schedule"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete it."""
        self.client.request("DELETE", _path(self.client, parsed_args.schedule))


class RunSchedule(OfOne, ShowOne):
    """Make a backup of a schedule now."""

    of = "schedule"

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Begin; return the execution's fields."""
        path = _path(self.client, parsed_args.schedule)
        return one(self.client.request("POST", f"{path}/run")["execution"])


class ListExecutions(OfOne, Lister):
    """List what a schedule did, the newest first."""

    of = "schedule"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        paged(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        path = _path(self.client, parsed_args.schedule)
        return table(_EXECUTION, self.client.pages(
            f"{path}/executions", "executions", parsed_args.limit))


class DeleteExecution(OfOne):
    """Forget an execution of a schedule; its backup stays."""

    of = "schedule"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("execution", metavar="<execution>", help="ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Forget it."""
        path = _path(self.client, parsed_args.schedule)
        self.client.request("DELETE", f"{path}/executions/{parsed_args.execution}")
