"""``openstack database volume configuration …``, and the volumes of instances."""

from __future__ import annotations

import argparse
import urllib.parse

from osc_lib.exceptions import CommandError

from trove_ng.osc.commands import Lister, OfOne, Shown, ShowOne, Table, one, table
from trove_ng.osc.modules import instance_path

_LINE = ("volume_kind", "size", "provider", "provider_type", "device_type", "required")
_TYPE = ("id", "name", "is_public", "description")
_VOLUME = ("volume_kind", "size", "provider", "device_type", "volume_id")


class ListVolumeConfigurations(Lister):
    """List the volume configurations that instances can be made with."""

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        names = self.client.get("volume_configs")["volume_configs"]
        return table(("name",), [{"name": name} for name in names])


class ShowVolumeConfiguration(Lister):
    """Show the volumes of a volume configuration."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("configuration", metavar="<configuration>", help="name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        name = urllib.parse.quote(parsed_args.configuration, safe="")
        found = self.client.get(f"volume_configs/{name}")
        return table(_LINE, found["volume_config"]["volumes"])


class ListVolumeTypes(Lister):
    """List volume types, all or those that a datastore version allows."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--datastore", metavar="<datastore>", help="name or ID")
        parser.add_argument("--datastore-version", metavar="<version>", help="name or ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        of = [parsed_args.datastore, parsed_args.datastore_version]
        if any(of) and not all(of):
            raise CommandError("--datastore and --datastore-version go together.")
        path = "volume-types"
        if all(of):
            datastore, version = (urllib.parse.quote(name, safe="") for name in of)
            path = f"datastores/{datastore}/versions/{version}/{path}"
        return table(_TYPE, self.client.get(path)["volume_types"])


class ShowVolumeType(OfOne, ShowOne):
    """Show a volume type."""

    of = "type"

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Return the fields."""
        name = urllib.parse.quote(parsed_args.type, safe="")
        return one(self.client.get(f"volume-types/{name}")["volume_type"])


class ListVolumesOfInstance(OfOne, Lister):
    """List the volumes of an instance."""

    of = "instance"

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        path = instance_path(self.client, parsed_args.instance)
        return table(_VOLUME, self.client.get(f"{path}/volumes")["volumes"])


class ResizeVolumeOfInstance(OfOne):
    """Grow one of the volumes of an instance."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volume_kind", metavar="<kind>", help="as data or binlog")
        parser.add_argument("size", metavar="<size>", type=int, help="new size in GB")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for it."""
        path = instance_path(self.client, parsed_args.instance)
        self.client.request("POST", f"{path}/action", {"resize": {"volume": {
            "volume_kind": parsed_args.volume_kind, "size": parsed_args.size}}})
