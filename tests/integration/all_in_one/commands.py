"""Every command of the released clients, each as a user types it.

``LEGACY`` and ``OPENSTACK`` are walked through in their order, each by an instance of its
own.  ``{name}`` stands for what an earlier step saved; ``{i}`` is the instance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

#: commands for clusters, which this release does not offer
CLUSTERS = "clusters are not offered"

#: commands that are not walked through → why
NOT_YET: Mapping[str, str] = {
    **dict.fromkeys((f"trove cluster-{one}" for one in (
        "create", "delete", "force-delete", "grow", "instances", "list", "modules",
        "reset-status", "show", "shrink", "upgrade")), CLUSTERS),
    **dict.fromkeys((f"openstack database cluster {one}" for one in (
        "create", "delete", "force delete", "grow", "list", "list instances", "modules",
        "reset status", "show", "shrink", "upgrade")), CLUSTERS),
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One use of a command.

    :param command: the program and the command
    :param words: its arguments
    :param shows: regular expressions; each is found in what it prints
    :param lacks: what it does not print
    :param saves: name → regular expression whose group is kept
    :param status: what the instance becomes afterwards
    :param settled: path of a resource → its status that is waited for
    :param gone: path of a resource that is waited for until it is gone
    :param admin: an administrator types it
    :param fails: what it says when it is refused
    :param note: what users should know of it
    """

    command: str
    words: str = ""
    shows: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    saves: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: str | None = None
    settled: tuple[str, str] | None = None
    gone: str | None = None
    admin: bool = False
    fails: str | None = None
    note: str = ""


def _instead(command: str) -> str:
    return f"the client fails before it asks; use ``openstack database {command}``"


def _id(name: str = "id") -> str:
    """Return an expression for the id in a table of fields."""
    return rf"\| {name} +\| ([0-9a-f-]{{32,36}}) "


ACTIVE = "ACTIVE"
_REPLICAS = "works for replicas and their sources; others are refused"
_MISTRAL = "asks Mistral, which has no such execution"
#: the id in front of a line; ``trove`` shows the bytes of some
_FIRST = r"\| (?:b')?([0-9a-f-]{36})"


def _trove(command: str, words: str = "", **more: object) -> Step:
    return Step(f"trove {command}", words, **more)  # type: ignore[arg-type]


LEGACY: tuple[Step, ...] = (
    _trove("datastore-list", shows=("mariadb",)),
    _trove("datastore-show", "mariadb", shows=(r"\| name +\| mariadb",),
           saves={"datastore": _id()}),
    _trove("datastore-version-list", "mariadb", saves={"version": _FIRST}),
    _trove("datastore-version-show", "{version} --datastore mariadb",
           shows=(r"\| id +\| {version}",)),
    _trove("flavor-list", "--datastore_type mariadb --datastore_version_id {version}",
           shows=(r"\| +1 \|",)),
    _trove("flavor-show", "1", shows=(r"\| ram +\| \d+",)),
    _trove("volume-type-list", shows=("ID",), saves={"volume_type": _FIRST}),
    _trove("volume-type-show", "{volume_type}", shows=(r"\| id +\| {volume_type}",)),
    _trove("limit-list", shows=("max_instances",)),
    _trove("create", "legacy 1 --size 1 --datastore mariadb --databases shop "
           "--users app:app-Pw1", shows=(r"\| status +\| BUILD",), saves={"i": _id()},
           status=ACTIVE),
    _trove("list", shows=("{i}", "ACTIVE")),
    _trove("show", "legacy", shows=("{i}", "ACTIVE", "mariadb")),
    # databases
    _trove("database-create", "{i} archive --character_set utf8mb4"),
    _trove("database-list", "{i}", shows=("archive", "shop")),
    _trove("database-delete", "{i} archive"),
    # users
    _trove("user-create", "{i} u1 u1-Pw --databases shop"),
    _trove("user-list", "{i}", shows=(r"\bu1\b", r"\bapp\b")),
    _trove("user-show", "{i} u1", shows=(r"\| name +\| u1",)),
    _trove("user-show-access", "{i} u1", shows=("shop",)),
    _trove("user-revoke-access", "{i} u1 shop"),
    _trove("user-show-access", "{i} u1", lacks=("shop",)),
    _trove("user-grant-access", "{i} u1 shop"),
    _trove("user-update-attributes", "{i} u1 --new_name u2 --new_password u2-Pw"),
    _trove("user-delete", "{i} u2"),
    _trove("user-list", "{i}", lacks=(r"\bu\d\b",)),
    # root
    _trove("root-show", "{i}", shows=("False",)),
    _trove("root-enable", "{i} --root_password Chosen-1", shows=("root", "Chosen-1")),
    _trove("root-show", "{i}", shows=("True",)),
    _trove("root-disable", "{i}"),
    # logs
    _trove("log-list", "{i}", shows=("slow_query", "general", "error")),
    _trove("log-show", "{i} error", shows=(r"\| name +\| error",)),
    _trove("log-enable", "{i} general", shows=("Enabled|Ready|Partial",)),
    _trove("log-publish", "{i} general", shows=("Published|Partial",)),
    _trove("log-tail", "{i} general --lines 5"),
    _trove("log-save", "{i} general --file {folder}/general.log", shows=("general.log",)),
    _trove("log-discard", "{i} general"),
    _trove("log-disable", "{i} general", fails="AttributeError",
           note=_instead("log set --disable")),
    # metadata
    _trove("metadata-create", "{i} team blue"),
    _trove("metadata-list", "{i}", shows=("team",)),
    _trove("metadata-show", "{i} team", shows=("blue",)),
    _trove("metadata-edit", "{i} team green"),
    _trove("metadata-update", "{i} team crew red"),
    _trove("metadata-show", "{i} crew", shows=("red",)),
    _trove("metadata-delete", "{i} crew"),
    # security groups
    _trove("secgroup-list", saves={"group": _FIRST + r"'? \| (?:b')?trove-{i}"}),
    _trove("secgroup-show", "{group}", shows=("{group}",)),
    _trove("secgroup-add-rule", "{group} 198.51.100.0/24", shows=("198.51.100.0/24",),
           saves={"rule": r"([0-9a-f-]{36}-[0-9a-f]{16})"}, status=ACTIVE),
    _trove("secgroup-list-rules", "{group}", shows=("198.51.100.0/24",)),
    _trove("secgroup-delete-rule", "{rule}", status=ACTIVE),
    # configuration groups
    _trove("configuration-parameter-list", "{version}", shows=("max_connections",)),
    _trove("configuration-parameter-show", "{version} max_connections", shows=("integer",)),
    _trove("configuration-default", "{i}", shows=("max_connections",)),
    _trove("configuration-create", "legacy-group '{{\"max_connections\": 100}}' "
           "--datastore mariadb --datastore_version {version_name} --description d",
           saves={"group_id": _id()}),
    _trove("configuration-list", shows=("legacy-group",)),
    _trove("configuration-show", "{group_id}", shows=("max_connections",)),
    _trove("configuration-attach", "{i} {group_id}", status=ACTIVE),
    _trove("configuration-instances", "{group_id}", shows=("{i}",)),
    _trove("configuration-patch", "{group_id} '{{\"max_connections\": 120}}'", status=ACTIVE),
    _trove("configuration-update", "{group_id} '{{\"max_connections\": 130}}' --name other",
           status=ACTIVE),
    _trove("configuration-detach", "{i}", status=ACTIVE),
    _trove("configuration-delete", "{group_id}"),
    # modules
    _trove("module-create", "hello ping {folder}/hello.txt --datastore mariadb --live_update",
           saves={"module": _id()}),
    _trove("module-list", shows=("hello",)),
    _trove("module-show", "{module}", shows=("ping",)),
    _trove("module-apply", "{i} {module}", shows=("OK",)),
    _trove("module-query", "{i}", shows=("hello", "OK")),
    _trove("module-list-instance", "{i}", shows=("hello",)),
    _trove("module-instances", "{module}", shows=("{i}",)),
    _trove("module-instance-count", "{module}", shows=("hello",)),
    _trove("module-retrieve", "{i} --directory {folder}", shows=("hello",)),
    _trove("module-update", "{module} --description changed", shows=("changed",)),
    _trove("module-reapply", "{module} --force", status=ACTIVE),
    _trove("module-remove", "{i} {module}"),
    _trove("module-delete", "{module}"),
    # changes
    _trove("restart", "{i}", status=ACTIVE),
    _trove("resize-volume", "{i} 2", status=ACTIVE),
    _trove("resize-instance", "{i} 2", status=ACTIVE),
    _trove("upgrade", "{i} {version}", status=ACTIVE),
    _trove("update", "{i} --name x", fails="has no attribute 'edit'",
           note=_instead("instance update")),
    _trove("detach-replica", "{i}", fails="has no attribute 'edit'",
           note=_instead("instance detach")),
    _trove("promote-to-replica-source", "{i}", fails="HTTP 4", note=_REPLICAS),
    _trove("eject-replica-source", "{i}", fails="HTTP 4", note=_REPLICAS),
    # backups
    _trove("backup-create", "{i} legacy-backup --description d", saves={"b": _id()},
           settled=("/backups/{b}", "COMPLETED")),
    _trove("backup-list", shows=("legacy-backup",)),
    _trove("backup-list-instance", "{i}", shows=("legacy-backup",)),
    _trove("backup-show", "{b}", shows=("COMPLETED",)),
    _trove("backup-delete", "{b}", gone="/backups/{b}"),
    # schedules
    _trove("schedule-create", "{i} '0 3 * * *' nightly", saves={"s": _id()}),
    _trove("schedule-list", "{i}", shows=("nightly",)),
    _trove("schedule-show", "{s}", shows=("nightly",)),
    _trove("execution-list", "{s}", shows=("ID",)),
    _trove("execution-delete", "00000000-0000-4000-8000-000000000000", fails="HTTP 404|not found"),
    _trove("schedule-delete", "{s}"),
    # quotas
    _trove("quota-show", "{project}", shows=("instances",), admin=True),
    _trove("quota-update", "{project} backups 33", shows=("33",), admin=True),
    _trove("quota-update", "{project} backups 50", shows=("50",), admin=True),
    _trove("quota-update", "{project} backups 99", fails="HTTP 403"),
    # the end
    _trove("reset-status", "{i}", admin=True),
    _trove("delete", "{i}", gone="/instances/{i}"),
    _trove("create", "legacy2 1 --size 1 --datastore mariadb", saves={"i": _id()}),
    _trove("force-delete", "{i}", admin=True, gone="/instances/{i}"),
)


def _os(command: str, words: str = "", **more: object) -> Step:
    return Step(f"openstack {command}", words, **more)  # type: ignore[arg-type]


_D = "database"
OPENSTACK: tuple[Step, ...] = (
    _os("datastore list", shows=("mariadb",)),
    _os("datastore show", "mariadb", shows=(r"\| name +\| mariadb",)),
    _os("datastore version list", "mariadb", saves={"version": _FIRST}),
    _os("datastore version show", "{version} --datastore mariadb", shows=("{version}",)),
    _os(f"{_D} flavor list", shows=(r"\| +1 \|",)),
    _os(f"{_D} flavor show", "1", shows=("ram",)),
    _os(f"{_D} limit list", shows=("max_instances",)),
    _os(f"{_D} instance create", "osc --flavor 1 --size 1 --datastore mariadb "
        "--datastore-version {version_name} --databases shop --users app:app-Pw1 "
        "--allowed-cidr 0.0.0.0/0", shows=("BUILD",), saves={"i": _id()}, status=ACTIVE),
    _os(f"{_D} instance list", shows=("{i}",)),
    _os(f"{_D} instance list", "--all-projects", shows=("{i}",), admin=True),
    _os(f"{_D} instance show", "osc", shows=("ACTIVE",)),
    _os(f"{_D} db create", "{i} archive"),
    _os(f"{_D} db list", "{i}", shows=("archive",)),
    _os(f"{_D} db delete", "{i} archive"),
    _os(f"{_D} user create", "{i} o1 o1-Pw --databases shop --host 10.0.0.7"),
    _os(f"{_D} user list", "{i}", shows=("o1",)),
    _os(f"{_D} user show", "{i} o1 --host 10.0.0.7", shows=("10.0.0.7",)),
    _os(f"{_D} user show access", "{i} o1 --host 10.0.0.7", shows=("shop",)),
    _os(f"{_D} user revoke access", "{i} o1 shop --host 10.0.0.7"),
    _os(f"{_D} user grant access", "{i} o1 shop --host 10.0.0.7"),
    _os(f"{_D} user update attributes", "{i} o1 --host 10.0.0.7 --new_password o2-Pw"),
    _os(f"{_D} user delete", "{i} o1 --host 10.0.0.7"),
    _os(f"{_D} root show", "{i}", shows=("False",)),
    _os(f"{_D} root enable", "{i}", shows=("password",)),
    _os(f"{_D} root disable", "{i}"),
    _os(f"{_D} log list", "{i}", shows=("slow_query",)),
    _os(f"{_D} log show", "{i} general", shows=("Disabled",)),
    _os(f"{_D} log set", "{i} general --enable", shows=("Enabled|Ready|Partial",)),
    _os(f"{_D} log set", "{i} general --publish", shows=("Published|Partial",)),
    _os(f"{_D} log tail", "{i} general --lines 5"),
    _os(f"{_D} log save", "{i} general --file {folder}/osc.log", shows=("osc.log",)),
    _os(f"{_D} log set", "{i} general --disable --discard", shows=("Disabled",)),
    _os(f"{_D} configuration parameter list", "{version}", shows=("max_connections",)),
    _os(f"{_D} configuration parameter show", "{version} max_connections",
        shows=("integer",)),
    _os(f"{_D} configuration default", "{i}", shows=("max_connections",)),
    _os(f"{_D} configuration create", "osc-group '{{\"max_connections\": 100}}' "
        "--datastore mariadb --datastore-version {version_name}", saves={"g": _id()}),
    _os(f"{_D} configuration list", shows=("osc-group",)),
    _os(f"{_D} configuration show", "{g}", shows=("max_connections",)),
    _os(f"{_D} configuration attach", "{i} {g}", status=ACTIVE),
    _os(f"{_D} configuration instances", "{g}", shows=("{i}",)),
    _os(f"{_D} configuration parameter set", "{g} '{{\"max_connections\": 110}}'",
        status=ACTIVE),
    _os(f"{_D} configuration set", "{g} '{{\"max_connections\": 120}}' --name other",
        status=ACTIVE),
    _os(f"{_D} configuration detach", "{i}", status=ACTIVE),
    _os(f"{_D} configuration delete", "{g}"),
    _os(f"{_D} ssl enable", "{i} {bundle} --mode enforced", status="RESTART_REQUIRED",
        shows=(r"mode +\| enforced", r"restart_required +\| True")),
    _os(f"{_D} ssl show", "{i} --include-certificate",
        shows=(r"status +\| on", "db.example.org", "BEGIN CERTIFICATE"), lacks=("PRIVATE",)),
    _os(f"{_D} ssl rollback", "{i}", status="RESTART_REQUIRED", shows=(r"status +\| off",)),
    _os(f"{_D} ssl disable", "{i}", status="RESTART_REQUIRED", shows=(r"status +\| off",)),
    _os(f"{_D} instance restart", "{i}", status=ACTIVE),
    _os(f"{_D} instance reboot", "{i}", admin=True, status=ACTIVE),
    _os(f"{_D} instance resize volume", "{i} 2", status=ACTIVE),
    _os(f"{_D} instance resize flavor", "{i} 2", status=ACTIVE),
    _os(f"{_D} instance upgrade", "{i} {version}", status=ACTIVE),
    _os(f"{_D} instance rebuild", "{i} {image}", admin=True, status=ACTIVE),
    _os(f"{_D} instance update", "{i} --name renamed"),
    _os(f"{_D} instance show", "renamed", shows=("{i}",)),
    _os(f"{_D} instance promote", "{i}", fails="HTTP 4", note=_REPLICAS),
    _os(f"{_D} instance eject", "{i}", fails="HTTP 4", note=_REPLICAS),
    _os(f"{_D} instance detach", "{i}", note="works for replicas; others stay as they are"),
    _os(f"{_D} backup strategy create", "--swift-container mine", shows=("mine",)),
    _os(f"{_D} backup strategy list", shows=("mine",)),
    _os(f"{_D} backup create", "osc-backup --instance {i}", saves={"b": _id()},
        settled=("/backups/{b}", "COMPLETED")),
    _os(f"{_D} backup create", "osc-more --instance {i} --parent {b}", saves={"c": _id()},
        settled=("/backups/{c}", "COMPLETED")),
    _os(f"{_D} backup list", shows=("osc-more",)),
    _os(f"{_D} backup list", "--all-projects", shows=("osc-more",), admin=True),
    _os(f"{_D} backup list instance", "{i}", shows=("osc-backup",)),
    _os(f"{_D} backup show", "{b}", shows=("COMPLETED", "mine")),
    _os(f"{_D} backup delete", "{b}", gone="/backups/{c}"),
    _os(f"{_D} backup strategy delete"),
    _os(f"{_D} backup strategy list", lacks=("mine",)),
    _os(f"{_D} backup execution delete", "00000000-0000-4000-8000-000000000000",
        fails="not found|404|could not be found"),
    _os(f"{_D} quota show", "{project}", shows=("backups",), admin=True),
    _os(f"{_D} quota update", "{project} ram 51200", shows=("51200",), admin=True),
    _os("datastore version create", "other mariadb mariadb {image} --active",
        admin=True),
    _os("datastore version list", "mariadb", admin=True,
        saves={"made": _FIRST + r" \| other"}),
    _os("datastore version set", "{made} --disable", admin=True),
    _os("datastore version delete", "{made}", admin=True),
    _os("datastore delete", "mariadb", admin=True, fails="HTTP 409|in use|HTTP 400"),
    _os(f"{_D} instance reset status", "{i}", admin=True),
    _os(f"{_D} instance delete", "{i}", gone="/instances/{i}"),
    _os(f"{_D} instance create", "osc2 --flavor 1 --size 1 --datastore mariadb "
        "--datastore-version {version_name}", saves={"i": _id()}),
    _os(f"{_D} instance force delete", "{i}", admin=True, gone="/instances/{i}"),
)
