"""Commands about who sees datastore versions, and what instances of them can do."""

from __future__ import annotations

import argparse

from sqlalchemy.orm import Session

from trove_ng.common.clock import utcnow
from trove_ng.common.errors import BadRequest
from trove_ng.datastores import base
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import capabilities
from trove_ng.db.repositories import datastore_admin as admin
from trove_ng.db.repositories import version_members as members
from trove_ng.domain.capabilities import MEANINGS, declared, switched
from trove_ng.domain.versions import Visibility
from trove_ng.manage.command import Command, Tools, arg

_VERSION = (
    arg("datastore", help="id or name of the datastore"),
    arg("version_name", metavar="version", help="id or name of the version"),
    arg("--version", dest="number", help="number that tells versions of one name apart"))
_PROJECT = arg("project", help="id of the project")
_NAME = arg("capability", choices=sorted(MEANINGS))
_MOST = 1_000_000


def _find(session: Session, options: argparse.Namespace) -> DatastoreVersion:
    return admin.find_version(session, admin.find(session, options.datastore),
                              options.version_name, options.number)


def _shown(options: argparse.Namespace) -> str:
    return f"version {options.version_name} of {options.datastore}"


def _list(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        datastore_id = admin.find(session, options.datastore).id if options.datastore else None
        rows = admin.versions(session, limit=_MOST, datastore_id=datastore_id)
        lines = [" ".join((
            version.id, datastore.name, version.name, version.version, version.manager,
            "active" if version.active else "inactive", version.visibility,
            *(["default"] if datastore.default_version_id == version.id else [])))
            for version, datastore in rows]
    tools.say("\n".join(sorted(lines, key=lambda line: line.split()[1:])) or "no versions")


def _delete(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        version, datastore = admin.get_version(session, _find(session, options).id, lock=True)
        admin.delete_version(session, version, datastore, utcnow())
    tools.say(f"{_shown(options)} is deleted")


def _delete_datastore(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        found = admin.make_datastore(session, admin.find(session, options.datastore).name)
        admin.delete_datastore(session, found, utcnow())
    tools.say(f"datastore {options.datastore} is deleted")


def _set_visibility(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        _find(session, options).visibility = options.visibility
    tools.say(f"{_shown(options)} is {options.visibility}")


def _add_member(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        members.add(session, _find(session, options).id, options.project)
    tools.say(f"project {options.project} is a member of {_shown(options)}")


def _delete_member(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        members.remove(session, _find(session, options).id, options.project)
    tools.say(f"project {options.project} is no member of {_shown(options)} any more")


def _list_members(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        found = [row.tenant_id for row in members.of_version(
            session, _find(session, options).id)]
    tools.say("\n".join(found) or "no members")


def _list_capabilities(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        if options.datastore is None:
            off = {row.name for row in capabilities.switches(session) if not row.enabled}
            found = {name: name not in off for name in MEANINGS}
        else:
            if options.version_name is None:
                raise BadRequest("A version is needed besides the datastore.")
            version = _find(session, options)
            found = declared(switched(base.get(version.manager),
                                      capabilities.switched_off(session, version.id)))
    tools.say("\n".join(f"{name} {'on' if on else 'off'}" for name, on in found.items()))


def _switch(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        capabilities.switch(session, options.capability, enabled=options.state == "on",
                            description=options.description)
    tools.say(f"{options.capability} is switched {options.state} for all versions that have no "
              "switch of their own")


def _override(tools: Tools, options: argparse.Namespace) -> None:
    enabled = {"on": True, "off": False, "default": None}[options.state]
    with tools.db.writer() as session:
        capabilities.override(session, _find(session, options).id, options.capability, enabled)
    tools.say(f"{options.capability} of {_shown(options)} is switched {options.state}")


COMMANDS = (
    Command("datastore_version_list", "show what is registered", _list, (
        arg("datastore", nargs="?", help="id or name of a datastore"),)),
    Command("datastore_version_delete", "delete a version that nothing is made of", _delete,
            _VERSION),
    Command("datastore_delete", "delete a datastore without versions", _delete_datastore,
            _VERSION[:1]),
    Command("datastore_version_visibility", "say who sees a version", _set_visibility,
            (*_VERSION, arg("visibility", choices=[str(one) for one in Visibility]))),
    Command("datastore_version_member_add", "let a project use a private version",
            _add_member, (*_VERSION, _PROJECT)),
    Command("datastore_version_member_delete", "let a project use a private version no more",
            _delete_member, (*_VERSION, _PROJECT)),
    Command("datastore_version_member_list", "show the members of a private version",
            _list_members, _VERSION),
    Command("capability_list", "show what instances can do", _list_capabilities, (
        arg("datastore", nargs="?", help="id or name of the datastore; without it, the "
                                         "switches for all versions are shown"),
        arg("version_name", metavar="version", nargs="?", help="id or name of the version"),
        _VERSION[2])),
    Command("capability_switch", "switch a capability of all versions on or off", _switch, (
        _NAME, arg("state", choices=["on", "off"]), arg("--description"))),
    Command("capability_override", "switch a capability of one version", _override, (
        *_VERSION, _NAME, arg("state", choices=["on", "off", "default"]))),
)
