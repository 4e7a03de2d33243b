"""Commands about datastores and their versions."""

from __future__ import annotations

import argparse
from pathlib import Path

from sqlalchemy.orm import Session

from trove_ng.common.clock import utcnow
from trove_ng.common.errors import BadRequest
from trove_ng.datastores import base, parameters
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import datastore_admin as admin
from trove_ng.db.repositories import parameters as rows
from trove_ng.domain.configurations import check_owner
from trove_ng.manage.command import Argument, Command, Tools, arg, words

_DATASTORE = arg("datastore", help="id or name of the datastore")
_VERSION = arg("version_name", metavar="version", help="id or name of the version")
_NUMBER = arg("--version", dest="number", help="number that tells versions of one name apart")


def _update(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        admin.set_datastore(session, options.name, options.default_version or None)
    tools.say(f"datastore {options.name} is updated")


def _update_version(tools: Tools, options: argparse.Namespace) -> None:
    base.get(options.manager)
    if not options.image_id and not options.image_tags:
        raise BadRequest("An image id or --image-tags is needed.")
    with tools.db.writer() as session:
        datastore = admin.find(session, options.datastore)
        row = admin.set_version(session, datastore, options.version_name, options.number)
        row.manager = options.manager
        row.image_id = options.image_id or None
        row.image_tags = ",".join(options.image_tags or ()) or None
        row.packages = options.packages
        row.active = options.active == "1"
        shown = f"{row.name} ({row.version})"
    tools.say(f"version {shown} of {options.datastore} is updated")


def _load_parameters(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        version = _find(session, options)
        if options.file:
            try:
                found = parameters.parse(Path(options.file).read_text())
            except (OSError, ValueError) as err:
                raise BadRequest(f"{options.file}: {err}") from err
        else:
            found = list(base.get(version.manager).parameters(version.version))
        for one in found:
            check_owner(base.get(version.manager), one.name)
        rows.replace(session, version.id, found, utcnow())
    tools.say(f"{len(found)} parameters are loaded")


def _find(session: Session, options: argparse.Namespace) -> DatastoreVersion:
    return admin.find_version(session, admin.find(session, options.datastore),
                              options.version_name, options.number)


def _bindings(word: str, key: str, what: str) -> tuple[Command, ...]:
    """Return the commands that bind versions to flavors, or to volume types."""
    def add(tools: Tools, options: argparse.Namespace) -> None:
        with tools.db.writer() as session:
            version = _find(session, options)
            for value in options.values:
                admin.bind(session, version.id, key, value)
        tools.say(f"version {options.version_name} is bound to {', '.join(options.values)}")

    def delete(tools: Tools, options: argparse.Namespace) -> None:
        with tools.db.writer() as session:
            version = _find(session, options)
            admin.unbind(session, version.id, key, options.value, utcnow())
        tools.say(f"version {options.version_name} is not bound to {options.value} any more")

    def show(tools: Tools, options: argparse.Namespace) -> None:
        with tools.db.reader() as session:
            version = _find(session, options)
            found = [row.value for row in admin.bound(session, version.id, key)]
        tools.say("\n".join(found) or f"every {what} is allowed")

    common: tuple[Argument, ...] = (_DATASTORE, _VERSION, _NUMBER)
    return (
        Command(f"datastore_version_{word}_add", f"allow a {what} for a version", add,
                (*common, arg("values", metavar="ids", type=words, help="separated by commas"))),
        Command(f"datastore_version_{word}_delete", f"allow a {what} no more", delete,
                (*common, arg("value", metavar="id"))),
        Command(f"datastore_version_{word}_list", f"show the {what}s that are allowed", show,
                common),
    )


COMMANDS = (
    Command("datastore_update", "make a datastore, or change its default version", _update, (
        arg("name", help="name of the datastore"),
        arg("default_version", help="id or name of a version, empty for none"))),
    Command("datastore_version_update", "make a datastore version, or change it",
            _update_version, (
                _DATASTORE, arg("version_name", metavar="version", help="name of the version"),
                arg("manager", help="name of the manager, for example mariadb"),
                arg("image_id", help="id of the image, empty with --image-tags"),
                arg("packages", help="packages to install, separated by commas"),
                arg("active", choices=["0", "1"], help="whether it can be used"),
                arg("--image-tags", type=words, help="tags of the image, separated by commas"),
                _NUMBER)),
    Command("db_load_datastore_config_parameters",
            "load what users may configure of a version", _load_parameters, (
                _DATASTORE, _VERSION,
                arg("file", nargs="?", help="JSON file (default: the datastore's own)"),
                _NUMBER)),
    *_bindings("flavor", "flavor", "flavor"),
    *_bindings("volume_type", "volume-type", "volume type"),
)
