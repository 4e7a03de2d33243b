"""What the commands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from osc_lib import utils
from osc_lib.command import command

from trove_ng.osc.client import API_NAME, Client, Item

Table = tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]
Shown = tuple[tuple[str, ...], tuple[Any, ...]]


class Command(command.Command):
    """A command that shows nothing."""

    @property
    def client(self) -> Client:
        """The client."""
        found: Client = getattr(self.app.client_manager, API_NAME)
        return found


class OfOne(Command):
    """A command whose first argument names one thing.

    :cvar of: what it is, and the name of the argument
    """

    of: ClassVar[str]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(self.of, metavar=f"<{self.of}>", help="name or ID")
        return parser


class Lister(Command, command.Lister):
    """A command that shows a table."""


class ShowOne(Command, command.ShowOne):
    """A command that shows the fields of one thing."""


def title(name: str) -> str:
    """Return the heading of a field: ``Apply Order`` of ``apply_order``."""
    return " ".join(word.upper() if word in ("id", "md5") else word.capitalize()
                    for word in name.split("_"))


def table(fields: Sequence[str], items: Iterable[Item]) -> Table:
    """Return what a Lister returns: the named fields of each item."""
    return (tuple(title(name) for name in fields),
            [tuple(_plain(item.get(name)) for name in fields) for item in items])


def one(item: Item) -> Shown:
    """Return what a ShowOne returns: all fields of an item that is not a link."""
    names = sorted(name for name in item if name != "links")
    return tuple(names), tuple(_plain(item[name]) for name in names)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return utils.format_dict(value)
    if isinstance(value, list):
        return "\n".join(str(_plain(one)) for one in value)
    return "" if value is None else value


def paged(parser: argparse.ArgumentParser) -> None:
    """Add the option of a list."""
    parser.add_argument("--limit", type=int, metavar="<limit>",
                        help="show so many at most (default: all)")


def given(options: argparse.Namespace, names: Iterable[str]) -> Item:
    """Return the options that were given, by name."""
    return {name: getattr(options, name) for name in names
            if getattr(options, name) is not None}


def datastore(options: argparse.Namespace) -> Item:
    """Return what a request says of the datastore and version that the options name."""
    found = {key: value for key, value in (
        ("type", options.datastore), ("version", options.datastore_version)) if value}
    return {"datastore": found} if found else {}
