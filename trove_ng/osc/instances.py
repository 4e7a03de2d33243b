"""``openstack database instance launch``: what the released client cannot ask for at create."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from trove_ng.osc.client import Item
from trove_ng.osc.commands import OfOne, Shown, ShowOne, datastore, given, one
from trove_ng.osc.modules import instance_path

#: options that the request has under the same name
_PLAIN = ("volume_config", "availability_zone", "locality", "region_name")


def _pair(sign: str, example: str) -> Callable[[str], tuple[str, str]]:
    """Return a type of arguments: two words with a sign between them."""
    def split(text: str) -> tuple[str, str]:
        first, found, second = text.partition(sign)
        if not (first and found and second):
            raise argparse.ArgumentTypeError(f"{text!r} is not like {example}")
        return first, second

    return split


class LaunchInstance(ShowOne):
    """Create an instance that has several volumes, or those of a volume configuration."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        add = parser.add_argument
        add("name", metavar="<name>")
        add("--flavor", metavar="<flavor>", required=True, help="name or ID")
        add("--volume-config", metavar="<configuration>",
            help="see 'database volume configuration list'")
        add("--volume", dest="volumes", action="append", metavar="<kind>=<size>",
            type=_pair("=", "binlog=2"),
            help="GB of a volume, as data=10 or binlog=2 (repeatable)")
        add("--datastore", metavar="<datastore>", help="name or ID")
        add("--datastore-version", metavar="<version>", help="name or ID")
        add("--configuration", metavar="<group>", help="name or ID of a configuration group")
        add("--backup", metavar="<backup>", help="name or ID: restore it")
        add("--restore-time", metavar="<time>",
            help="to which moment after the backup, as 2026-05-01T12:00:00Z")
        add("--archive-log", metavar="<days>", type=int,
            help="archive its log, and keep that so long, for such restores")
        add("--database", dest="databases", action="append", metavar="<name>",
            help="(repeatable)")
        add("--user", dest="users", action="append", metavar="<name>:<password>",
            type=_pair(":", "app:a-password"),
            help="one who may use all of these databases (repeatable)")
        add("--module", dest="modules", action="append", metavar="<module>",
            help="name or ID (repeatable)")
        add("--network", metavar="<id>")
        add("--allowed-cidr", dest="allowed_cidrs", action="append", metavar="<cidr>",
            help="who may connect (repeatable)")
        add("--is-public", action="store_true", help="give it an address outside the cloud")
        add("--availability-zone", metavar="<zone>")
        add("--locality", choices=["affinity", "anti-affinity"])
        add("--region", dest="region_name", metavar="<region>")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Create it; return the fields."""
        made = self.client.request("POST", "instances", {
            "instance": {"name": parsed_args.name, **given(parsed_args, _PLAIN),
                         **self._found(parsed_args), **_nested(parsed_args)}})
        return one(made["instance"])

    def _found(self, options: argparse.Namespace) -> Item:
        """Return what options name and the request has by id."""
        wanted: Item = {"flavorRef": self._flavor(options.flavor)}
        if options.configuration:
            wanted["configuration"] = self._id("configurations", options.configuration)
        if options.backup:
            wanted["restorePoint"] = {"backupRef": self._id("backups", options.backup)}
        if options.restore_time:
            # without a backup the service tells what lacks
            wanted.setdefault("restorePoint", {})["time"] = options.restore_time
        if options.archive_log is not None:
            wanted["log_archiving"] = {
                "enabled": True, "retention_days": options.archive_log}
        if options.modules:
            wanted["modules"] = [{"id": self._id("modules", name)} for name in options.modules]
        return wanted

    def _flavor(self, name_or_id: str) -> str:
        # its id is null when it is no number
        return str(self.client.find("flavors", "flavors", name_or_id)["str_id"])

    def _id(self, collection: str, name_or_id: str) -> str:
        return str(self.client.find(collection, collection, name_or_id)["id"])


class SetLogArchiving(OfOne):
    """Have the log of an instance's database archived, or not any more."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        switch = parser.add_mutually_exclusive_group(required=True)
        switch.add_argument("--enable", action="store_true")
        switch.add_argument("--disable", action="store_true",
                            help="what is archived is kept for its time")
        parser.add_argument("--retention-days", type=int, metavar="<days>")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Switch it."""
        self.client.request("PATCH", instance_path(self.client, parsed_args.instance), {
            "instance": {"log_archiving": {
                "enabled": parsed_args.enable, **given(parsed_args, ("retention_days",))}}})


def _nested(options: argparse.Namespace) -> Item:
    """Return what the request has in objects and lists."""
    wanted = datastore(options)
    if options.volumes:
        wanted["volume_list"] = [
            {"volume_kind": kind, "size": size} for kind, size in options.volumes]
    databases = [{"name": name} for name in options.databases or ()]
    if databases:
        wanted["databases"] = databases
    if options.users:
        wanted["users"] = [{"name": name, "password": password, "databases": databases}
                           for name, password in options.users]
    if options.network:
        wanted["nics"] = [{"net-id": options.network}]
    access = given(options, ("allowed_cidrs",))
    if options.is_public:
        access["is_public"] = True
    if access:
        wanted["access"] = access
    return wanted
