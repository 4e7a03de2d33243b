"""``openstack database instance failover set``."""

from __future__ import annotations

import argparse

from trove_ng.osc.commands import Command, given

_PLAIN = ("mode", "timeout_seconds", "min_interval_seconds", "max_lag")


class SetFailover(Command):
    """Say what a set of replicas does when its source is lost."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        add = parser.add_argument
        add("instance", metavar="<instance>", help="name or ID of the source")
        add("mode", choices=["automatic", "manual"],
            help="whether a replica takes the place of the source by itself")
        add("--timeout", dest="timeout_seconds", type=int, metavar="<seconds>",
            help="silence after which the source may be given up (default: 15)")
        add("--min-interval", dest="min_interval_seconds", type=int, metavar="<seconds>",
            help="time between two failovers at least (default: 300)")
        add("--max-lag", type=int, metavar="<seconds>",
            help="how far behind a replica may have been that takes the place (default: any)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set it."""
        found = self.client.find("instances", "instances", parsed_args.instance)
        self.client.request("PATCH", f"instances/{found['id']}", {
            "instance": {"failover": given(parsed_args, _PLAIN)}})
