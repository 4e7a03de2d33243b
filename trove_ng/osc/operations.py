"""``openstack database operation …`` and the timelines of instances."""

from __future__ import annotations

import argparse

from trove_ng.osc.commands import (
    Command,
    Lister,
    OfOne,
    Shown,
    ShowOne,
    Table,
    one,
    paged,
    table,
)
from trove_ng.osc.modules import instance_path

_FIELDS = ("id", "action", "resource_id", "status", "percent", "created", "ended_at")
_EVENT = ("created", "kind", "message", "operation_id")


class ListOperations(Lister):
    """List what was asked for, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--resource", dest="resource_id", metavar="<id>",
                            help="those on a resource")
        parser.add_argument("--status", metavar="<status>",
                            help="PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED")
        parser.add_argument("--action", metavar="<action>", help="as instance.create")
        parser.add_argument("--all-projects", action="store_true",
                            help="those of all projects (administrators)")
        paged(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        path = "mgmt/operations" if parsed_args.all_projects else "operations"
        return table(_FIELDS, self.client.pages(path, "operations", parsed_args.limit, {
            name: getattr(parsed_args, name) for name in ("resource_id", "status", "action")}))


class ShowOperation(ShowOne):
    """Show an operation with its steps."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<id>")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Return the fields."""
        return one(self.client.get(f"operations/{parsed_args.operation}")["operation"])


class CancelOperation(Command):
    """Cancel an operation; what it did is taken back."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<id>")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for it."""
        self.client.request("POST", f"operations/{parsed_args.operation}/cancel")


class ListEvents(OfOne, Lister):
    """Show the timeline of an instance, the newest first."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        paged(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        path = instance_path(self.client, parsed_args.instance)
        return table(_EVENT, self.client.pages(f"{path}/events", "events", parsed_args.limit))
