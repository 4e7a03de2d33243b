"""What a command is."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable, Sequence

from oslo_config import cfg

from trove_ng.common.errors import BadRequest
from trove_ng.db.session import Database


@dataclasses.dataclass(frozen=True)
class Tools:
    """What commands work with.

    :param say: writes a line for the operator
    """

    conf: cfg.ConfigOpts
    say: Callable[[str], None]

    @functools.cached_property
    def db(self) -> Database:
        """The store; commands that do without it run before it is configured.

        :raises BadRequest: it is not configured
        """
        if not self.conf.database.connection:
            raise BadRequest("[database] connection is not configured.")
        return Database(self.conf)


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument, as :meth:`argparse.ArgumentParser.add_argument` takes it."""

    names: tuple[str, ...]
    options: dict[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of ``trove-manage``.

    :param run: does it; raises TroveError with what went wrong
    """

    name: str
    help: str
    run: Callable[[Tools, argparse.Namespace], None]
    arguments: Sequence[Argument] = ()


def arg(*names: str, **options: object) -> Argument:
    """Return an argument."""
    return Argument(names, options)


def at_least(lowest: int) -> Callable[[str], int]:
    """Return a type of arguments: whole numbers from the lowest on."""
    def number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"must be {lowest} or more")
        return value

    return number


def words(text: str) -> list[str]:
    """A type of arguments: at least one word, separated by commas."""
    found = [one.strip() for one in text.split(",") if one.strip()]
    if not found:
        raise argparse.ArgumentTypeError("must not be empty")
    return found
