"""What a command is."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence

from oslo_config import cfg

from trove_ng.db.session import Database


@dataclasses.dataclass(frozen=True)
class Tools:
    """What commands work with.

    :param say: writes a line for the operator
    """

    conf: cfg.ConfigOpts
    db: Database
    say: Callable[[str], None]


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
