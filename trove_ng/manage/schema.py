"""Commands about the store's schema."""

from __future__ import annotations

import argparse

import alembic.util
import sqlalchemy

from trove_ng.common.errors import BadRequest
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import Base
from trove_ng.manage.command import Command, Tools, arg


def _sync(tools: Tools, _options: argparse.Namespace) -> None:
    _upgrade(tools, "head")


def _upgrade_to(tools: Tools, options: argparse.Namespace) -> None:
    _upgrade(tools, options.version)


def _upgrade(tools: Tools, version: str) -> None:
    try:
        migrations.upgrade(tools.db.engine, version)
    except alembic.util.CommandError as err:
        raise BadRequest(f"The schema cannot be upgraded: {err}") from err
    tools.say(f"the schema is at {migrations.current(tools.db.engine)}")


def _version(tools: Tools, _options: argparse.Namespace) -> None:
    tools.say(f"{migrations.current(tools.db.engine) or 'empty'} (newest: {migrations.head()})")


def _wipe(tools: Tools, options: argparse.Namespace) -> None:
    if not options.yes:
        raise BadRequest("This removes all tables of the service with everything in them; "
                         "confirm it with --yes.")
    # not of the models, but of Alembic
    revision = sqlalchemy.Table("alembic_version", sqlalchemy.MetaData())
    with tools.db.engine.begin() as connection:
        Base.metadata.drop_all(connection)
        revision.drop(connection, checkfirst=True)
    tools.say("the store is empty; 'db_sync' makes a new one")


COMMANDS = (
    Command("db_sync", "bring the schema up to date", _sync),
    Command("db_upgrade", "bring the schema to a version", _upgrade_to, (
        arg("--version", default="head", help="revision (default: the newest)"),)),
    Command("db_version", "show the schema's version", _version),
    Command("db_wipe", "remove all tables with everything in them", _wipe, (
        arg("--yes", action="store_true", help="really do it"),)),
)
