"""What a command is."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg

from trove_ng.common.clock import Clock, SystemClock
from trove_ng.common.errors import BadRequest
from trove_ng.db.session import Database

if TYPE_CHECKING:
    from trove_ng.cloud.session import Clouds


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
        return Database(self.conf, patient=True)

    @functools.cached_property
    def clouds(self) -> Clouds:
        """The services of the cloud; loaded for the commands that ask them.

        :raises BadRequest: they are not configured
        """
        from trove_ng.cloud.session import Clouds

        if not self.conf.service_credentials.auth_url:
            raise BadRequest("[service_credentials] auth_url is not configured.")
        return Clouds(self.conf)

    @functools.cached_property
    def told(self) -> bool:
        """Whether other services are told of what is done."""
        from trove_ng.rpc.notifier import is_on

        return is_on(self.conf)

    @property
    def clock(self) -> Clock:
        """The time."""
        return SystemClock()


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument, as :meth:`argparse.ArgumentParser.add_argument` takes it."""

    names: tuple[str, ...]
    options: dict[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of ``trove-manage``.

    :param run: does it; raises TroveError with what went wrong; returns an exit code, None
        for 0
    """

    name: str
    help: str
    run: Callable[[Tools, argparse.Namespace], int | None]
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
    """A type of arguments: at least one word, separated by commas; repeats are left out."""
    found = list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if not found:
        raise argparse.ArgumentTypeError("must not be empty")
    return found
