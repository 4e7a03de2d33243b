"""``openstack database instance metadata …``: what a project keeps with its instances."""

from __future__ import annotations

import argparse
import json
import urllib.parse
from typing import Any

from trove_ng.osc.client import Client, Item
from trove_ng.osc.commands import Command, Lister, OfOne, Shown, ShowOne, Table, table
from trove_ng.osc.modules import instance_path


def _path(client: Client, parsed_args: argparse.Namespace) -> str:
    """Return the path of the key that the arguments name."""
    key = urllib.parse.quote(parsed_args.key, safe="")
    return f"{instance_path(client, parsed_args.instance)}/metadata/{key}"


def _value(text: str) -> Any:
    """Return what a text stands for: JSON is taken as such, as by the released client."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(answer: Item) -> Shown:
    (key, value), = answer["metadata"].items()
    return ("key", "value"), (key, _text(value))


class OfKey(OfOne):
    """A command whose arguments name a key of an instance."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("key", metavar="<key>")
        return parser


class WithValue(OfKey):
    """A command that gives a key a value."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("value", metavar="<value>", type=_value,
                            help="a text, or any other value as JSON")
        return parser


class ListMetadata(OfOne, Lister):
    """List the metadata of an instance."""

    of = "instance"

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        path = instance_path(self.client, parsed_args.instance)
        found = self.client.get(f"{path}/metadata")["metadata"]
        return table(("key", "value"), [
            {"key": key, "value": _text(value)} for key, value in sorted(found.items())])


class ShowMetadata(OfKey, ShowOne):
    """Show the value of a key."""

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Return the fields."""
        return _shown(self.client.get(_path(self.client, parsed_args)))


class CreateMetadata(WithValue, ShowOne):
    """Add a key to an instance."""

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Add it; return the fields."""
        return _shown(self.client.request("POST", _path(self.client, parsed_args), {
            "metadata": {"value": parsed_args.value}}))


class SetMetadata(WithValue, ShowOne):
    """Give a key another value, or another name as well."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--name", metavar="<key>", help="call the key so from now on")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Change it; return the fields."""
        wanted: Item = {"value": parsed_args.value}
        if parsed_args.name is None:
            method = "PATCH"
        else:
            method, wanted["key"] = "PUT", parsed_args.name
        return _shown(self.client.request(method, _path(self.client, parsed_args), {
            "metadata": wanted}))


class DeleteMetadata(OfKey, Command):
    """Forget a key of an instance."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Forget it."""
        self.client.request("DELETE", _path(self.client, parsed_args))
