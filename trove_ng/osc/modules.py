"""``openstack database module …``: files that are applied to instances."""

from __future__ import annotations

import argparse
import base64
import pathlib
from typing import Any

from osc_lib.exceptions import CommandError

from trove_ng.osc.client import Client, Item
from trove_ng.osc.commands import (
    Command,
    Lister,
    OfOne,
    Shown,
    ShowOne,
    Table,
    datastore,
    one,
    paged,
    table,
)

_FIELDS = ("id", "name", "type", "datastore", "datastore_version", "auto_apply",
           "priority_apply", "apply_order", "is_admin", "tenant", "visible")
_ON_INSTANCE = ("id", "name", "type", "datastore", "datastore_version", "md5", "created",
                "updated")
_QUERIED = ("name", "type", "datastore", "datastore_version", "status", "message", "filename",
            "md5", "installed")


def find(client: Client, name_or_id: str) -> Item:
    """Return a module."""
    return client.find("modules", "modules", name_or_id)


def instance_path(client: Client, name_or_id: str) -> str:
    """Return the path of an instance."""
    return f"instances/{client.find('instances', 'instances', name_or_id)['id']}"


def _switch(parser: argparse.ArgumentParser, name: str, on: str, off: str) -> None:
    """Add an option and its opposite."""
    both = parser.add_mutually_exclusive_group()
    dest = name.replace("-", "_")
    both.add_argument(f"--{name}", dest=dest, action="store_const", const=True, help=on)
    both.add_argument(f"--no-{name}", dest=dest, action="store_const", const=False, help=off)


def _describe(parser: argparse.ArgumentParser) -> None:
    """Add the options that create and set share."""
    parser.add_argument("--description", metavar="<description>")
    parser.add_argument("--datastore", metavar="<datastore>",
                        help="the datastore that it is for (default: all)")
    parser.add_argument("--datastore-version", metavar="<version>",
                        help="the version of the datastore that it is for (default: all)")
    _switch(parser, "auto-apply", "apply it to each new instance (administrators)",
            "do not apply it to each new instance")
    _switch(parser, "all-tenants", "it is for all projects (administrators)",
            "it is for its own project")
    visible = parser.add_mutually_exclusive_group()
    visible.add_argument("--hidden", dest="visible", action="store_const", const=False,
                         help="only administrators see it (administrators)")
    visible.add_argument("--visible", dest="visible", action="store_const", const=True,
                         help="all who may apply it see it")
    _switch(parser, "live-update", "it may be changed while instances have it",
            "it may not be changed while instances have it")
    _switch(parser, "priority-apply", "apply it before those without (administrators)",
            "apply it after those with priority")
    parser.add_argument("--apply-order", type=int, choices=range(10), metavar="<order>",
                        help="0 to 9: lower ones are applied first (default: 5)")
    _switch(parser, "full-access", "no option needs an administrator any more",
            "changing it needs an administrator")


_PLAIN = ("name", "description", "auto_apply", "all_tenants", "visible", "live_update",
          "priority_apply", "apply_order", "full_access")


def _body(options: argparse.Namespace) -> Item:
    body: Item = {name: getattr(options, name) for name in _PLAIN
                  if getattr(options, name) is not None}
    if getattr(options, "type", None):
        body["module_type"] = options.type
    if getattr(options, "file", None):
        body["contents"] = base64.b64encode(_read(options.file)).decode()
    return {"module": {**body, **datastore(options)}}


def _read(path: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as err:
        raise CommandError(f"{path} cannot be read: {err.strerror}") from err


class ListModules(Lister):
    """List modules."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--datastore", metavar="<datastore>",
                            help="those for a datastore; 'all' for those for every one")
        paged(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        return table(_FIELDS, self.client.pages(
            "modules", "modules", parsed_args.limit, {"datastore": parsed_args.datastore}))


class ShowModule(OfOne, ShowOne):
    """Show a module."""

    of = "module"

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Return the fields."""
        return one(find(self.client, parsed_args.module))


class CreateModule(ShowOne):
    """Create a module of a file."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="<name>")
        parser.add_argument("type", metavar="<type>", help="as ping or new_relic_license")
        parser.add_argument("file", metavar="<filename>", help="the file with its contents")
        _describe(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Create it; return the fields."""
        made = self.client.request("POST", "modules", _body(parsed_args))
        return one(made["module"])


class SetModule(OfOne, ShowOne):
    """Change a module."""

    of = "module"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--name", metavar="<name>")
        parser.add_argument("--file", metavar="<filename>", help="a file with new contents")
        parser.add_argument("--all-datastores", action="store_true",
                            help="it is for all datastores (administrators)")
        parser.add_argument("--all-datastore-versions", action="store_true",
                            help="it is for all versions of its datastore")
        _describe(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Change it; return the fields."""
        body = _body(parsed_args)
        for name in ("all_datastores", "all_datastore_versions"):
            if getattr(parsed_args, name):
                body["module"][name] = True
        if not body["module"]:
            raise CommandError("Nothing is to be changed: give an option.")
        found = find(self.client, parsed_args.module)
        changed = self.client.request("PATCH", f"modules/{found['id']}", body)
        return one(changed["module"])


class DeleteModules(Command):
    """Delete modules."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("modules", nargs="+", metavar="<module>", help="name or ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them; go on after one that cannot be."""
        failed = []
        for name in parsed_args.modules:
            try:
                found = find(self.client, name)
                self.client.request("DELETE", f"modules/{found['id']}")
            except CommandError as err:
                failed.append(f"{name}: {err}")
        if failed:
            raise CommandError("\n".join(failed))


class ReapplyModule(OfOne):
    """Give the instances that have a module its present contents."""

    of = "module"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--md5", metavar="<md5>", help="only those with these contents")
        parser.add_argument("--include-clustered", action="store_const", const=True,
                            help="also members of clusters")
        parser.add_argument("--batch-size", type=int, metavar="<number>",
                            help="instances at a time")
        parser.add_argument("--delay", type=int, dest="batch_delay", metavar="<seconds>",
                            help="pause between batches")
        parser.add_argument("--force", action="store_const", const=True,
                            help="also those that have the present contents")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for it."""
        found = find(self.client, parsed_args.module)
        wanted = {name: getattr(parsed_args, name) for name in (
            "md5", "include_clustered", "batch_size", "batch_delay", "force")
            if getattr(parsed_args, name) is not None}
        self.client.request("PUT", f"modules/{found['id']}/instances", {"reapply": wanted})


class ListModulesOfInstance(OfOne, Lister):
    """List the modules that an instance has."""

    of = "instance"

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        path = instance_path(self.client, parsed_args.instance)
        return table(_ON_INSTANCE, self.client.get(f"{path}/modules")["modules"])


class ListInstancesOfModule(Lister):
    """List the instances that have a module, or ask an instance for its modules."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="<module>",
                            help="name or ID; with --status of an instance")
        parser.add_argument("--status", action="store_true",
                            help="ask the agent of an instance which modules it has, and "
                                 "what became of them")
        parser.add_argument("--count", action="store_true",
                            help="count the instances, by the contents that they have")
        parser.add_argument("--include-clustered", action="store_true",
                            help="also members of clusters")
        paged(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Return the table."""
        if parsed_args.status:
            path = instance_path(self.client, parsed_args.name)
            return table(_QUERIED, self.client.get(
                f"{path}/modules", {"from_guest": True})["modules"])
        found = find(self.client, parsed_args.name)
        path = f"modules/{found['id']}/instances"
        query: Item = {"include_clustered": parsed_args.include_clustered}
        if parsed_args.count:
            return table(("module_name", "module_md5", "current", "instance_count",
                          "min_updated_date", "max_updated_date"),
                         self.client.get(path, {**query, "count_only": True})["instances"])
        return table(("id", "name", "status"), self.client.pages(
            path, "instances", parsed_args.limit, query))


class ApplyModules(OfOne, Lister):
    """Apply modules to an instance."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("modules", nargs="+", metavar="<module>", help="name or ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Apply them; return what became of each."""
        path = instance_path(self.client, parsed_args.instance)
        idents = [{"id": find(self.client, name)["id"]} for name in parsed_args.modules]
        answer = self.client.request("POST", f"{path}/modules", {"modules": idents})
        return table(_QUERIED, answer["modules"])


class RemoveModule(OfOne):
    """Remove a module from an instance."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("module", metavar="<module>", help="name or ID")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove it."""
        path = instance_path(self.client, parsed_args.instance)
        found = find(self.client, parsed_args.module)
        self.client.request("DELETE", f"{path}/modules/{found['id']}")


class RetrieveModules(OfOne, Lister):
    """Save the files of an instance's modules, as they are on its server."""

    of = "instance"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--directory", default=".", metavar="<directory>",
                            help="where to (default: the present one)")
        parser.add_argument("--prefix", default="", metavar="<prefix>",
                            help="of the files' names")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Write the files; return which."""
        path = instance_path(self.client, parsed_args.instance)
        modules = self.client.get(
            f"{path}/modules", {"from_guest": True, "include_contents": True})["modules"]
        saved = [{**found, "file": self._save(found, parsed_args)} for found in modules]
        return table(("name", "file", "md5"), saved)

    @staticmethod
    def _save(found: dict[str, Any], options: argparse.Namespace) -> str:
        # a name from a server must not lead out of the directory
        target = (pathlib.Path(options.directory)
                  / f"{options.prefix}{pathlib.PurePath(found['filename']).name}")
        try:
            target.write_bytes(base64.b64decode(found["contents"]))
        except OSError as err:
            raise CommandError(f"{target} cannot be written: {err.strerror}") from err
        return str(target)
