"""The notifications that are sent, as data: events and the keys of their payloads.

``dbaas.<event>.start|end|error`` tells of a request of a user, ``trove.instance.*`` of what
an instance uses, ``dbaas.quota`` of quotas (spec ceilometer-integration).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

#: in the payload of every ``dbaas.<event>``
BASE = ("tenant_id", "client_ip", "server_ip", "server_type", "request_id")
#: and, besides, of every ``dbaas.<event>.error``
FAILURE = ("message", "exception")

INFO = "INFO"
ERROR = "ERROR"


class Phase(enum.StrEnum):
    """What of a request is told."""

    START = "start"
    END = "end"
    ERROR = "error"


class ServerType(enum.StrEnum):
    """The service that tells it."""

    API = "api"
    TASK = "task"
    CONDUCTOR = "conductor"


@dataclasses.dataclass(frozen=True)
class Event:
    """A request that changes something.

    :param start: keys of the payload besides :data:`BASE`
    :param optional: those of ``start`` that are there only when the request has them
    :param end: keys of the payload at a good end, besides :data:`BASE`
    :param error: keys at a bad one, besides :data:`BASE` and :data:`FAILURE`
    """

    name: str
    start: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    end: tuple[str, ...] = ()
    error: tuple[str, ...] = ()

    def type(self, phase: Phase) -> str:
        """Return the event type as it is sent."""
        return f"dbaas.{self.name}.{phase}"

    def keys(self, phase: Phase) -> tuple[str, ...]:
        """Return all keys that a payload may have."""
        return BASE + {Phase.START: self.start, Phase.END: self.end,
                       Phase.ERROR: (*self.error, *FAILURE)}[phase]

    def payload(self, phase: Phase, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload, without the optional keys that have no value.

        :param values: a value for every key; others are refused
        :raises ValueError: names the keys that are missing, or not the event's
        """
        return _payload(self.type(phase), self.keys(phase), self.optional, values)


def _payload(event_type: str, keys: Iterable[str], optional: frozenset[str],
             values: Mapping[str, Any]) -> dict[str, Any]:
    wanted = set(keys)
    wrong = (wanted - optional - set(values)) | (set(values) - wanted)
    if wrong:
        raise ValueError(f"{event_type}: {', '.join(sorted(wrong))}")
    return {name: values[name] for name in keys
            if name in values and not (name in optional and values[name] is None)}


_INSTANCE = ("instance_id",)
_CLUSTER = ("cluster_id",)
_MODULE = ("module_id",)
_SCHEDULE = ("schedule_id",)
_VERSION = ("datastore_version_id",)
_OF_VERSION = ("datastore_version_id", "name")
_DATABASE = ("instance_id", "dbname")
_USER = ("instance_id", "username")
_ACCESS = ("instance_id", "username", "database")
_CREATE_OPTIONAL = ("databases", "users", "volume_size", "restore_point", "availability_zone",
                    "replica_of", "replica_count")

_EVENTS = (
    Event("instance_create",
          ("name", "flavor", "datastore", "datastore_version", *_CREATE_OPTIONAL),
          frozenset(_CREATE_OPTIONAL), end=_INSTANCE, error=_INSTANCE),
    Event("instance_restart", _INSTANCE),
    Event("instance_resize_volume", ("instance_id", "new_size")),
    Event("instance_resize_instance", ("instance_id", "new_flavor_id")),
    Event("instance_promote", _INSTANCE),
    Event("instance_eject", _INSTANCE),
    Event("instance_delete", _INSTANCE),
    Event("instance_detach", _INSTANCE),
    Event("instance_attach_configuration", ("instance_id", "configuration_id")),
    Event("instance_detach_configuration", _INSTANCE),
    Event("instance_update_ssl", ("instance_id", "mode"), frozenset({"mode"})),
    Event("instance_rollback_ssl", _INSTANCE),
    Event("cluster_create", ("name", "datastore", "datastore_version"), end=_CLUSTER),
    Event("cluster_delete", _CLUSTER),
    Event("cluster_add_shard", _CLUSTER),
    Event("cluster_grow", _CLUSTER),
    Event("cluster_shrink", _CLUSTER),
    Event("backup_create", ("name", "instance_id", "description", "parent_id"),
          end=("backup_id",)),
    Event("backup_delete", ("backup_id",)),
    Event("database_create", _DATABASE),
    Event("database_delete", _DATABASE),
    Event("user_create", _USER),
    Event("user_delete", _USER),
    Event("user_update_attributes", _USER),
    Event("user_grant", _ACCESS),
    Event("user_revoke", _ACCESS),
    Event("user_change_password", _USER),
    Event("configuration_create", ("name", "datastore", "datastore_version"),
          end=("configuration_id",)),
    Event("configuration_delete", ("configuration_id",)),
    Event("configuration_update", ("configuration_id", "name", "description"),
          frozenset({"name", "description"})),
    Event("configuration_edit", ("configuration_id",)),
    # the spec's table leaves these out; they change something all the same
    Event("instance_update", ("instance_id", "name")),
    Event("instance_reset_status", _INSTANCE),
    Event("root_enable", _INSTANCE),
    Event("root_disable", _INSTANCE),
    Event("instance_log", ("instance_id", "log")),
    Event("instance_metadata_update", ("instance_id", "key")),
    Event("instance_metadata_delete", ("instance_id", "key")),
    Event("backup_verify", ("backup_id",)),
    Event("backup_strategy_create", ("instance_id", "swift_container"),
          frozenset({"instance_id"})),
    Event("backup_strategy_delete", ()),
    Event("schedule_create", ("name", "instance_id"), end=_SCHEDULE),
    Event("schedule_update", _SCHEDULE),
    Event("schedule_delete", _SCHEDULE),
    Event("schedule_execution_delete", ("schedule_id", "execution_id")),
    Event("instance_update_access", _INSTANCE),
    Event("instance_failover", _INSTANCE),
    Event("instance_update_failover", ("instance_id", "mode")),
    Event("instance_upgrade", ("instance_id", "datastore_version_id")),
    Event("instance_upgrade_agent", ("instance_id", "version")),
    Event("instance_reboot", _INSTANCE),
    Event("instance_stop", _INSTANCE),
    Event("instance_migrate", ("instance_id", "host"), frozenset({"host"})),
    Event("instance_rebuild", ("instance_id", "image_id")),
    Event("instance_recover", _INSTANCE),
    Event("module_create", ("name",), end=_MODULE),
    Event("module_update", _MODULE),
    Event("module_delete", _MODULE),
    Event("module_reapply", _MODULE),
    Event("instance_module_apply", ("instance_id", "module_id")),
    Event("instance_module_remove", ("instance_id", "module_id")),
    # what operators do to what they offer
    Event("datastore_delete", ("datastore",)),
    Event("datastore_version_create", ("datastore", "name"), frozenset({"datastore"})),
    Event("datastore_version_update", _VERSION),
    Event("datastore_version_delete", _VERSION),
    Event("datastore_version_set_visibility", ("datastore", *_VERSION, "visibility")),
    Event("datastore_version_member_create", ("datastore", *_VERSION, "member")),
    Event("datastore_version_member_delete", ("datastore", *_VERSION, "member_id")),
    Event("capability_update", ("name",)),
    Event("capability_override", _OF_VERSION),
    Event("capability_reset", _OF_VERSION),
    Event("configuration_parameter_create", _OF_VERSION),
    Event("configuration_parameter_update", _OF_VERSION),
    Event("configuration_parameter_delete", _OF_VERSION),
    Event("flavor_create", ("name",)),
    Event("quota_update", ("project_id",)),
)

#: by name, as ``instance_create``
EVENTS: Final[Mapping[str, Event]] = {one.name: one for one in _EVENTS}

QUOTA = "dbaas.quota"
EXISTS = "trove.instance.exists"
CREATED = "trove.instance.create"
DELETED = "trove.instance.delete"
NEW_FLAVOR = "trove.instance.modify_flavor"
NEW_VOLUME = "trove.instance.modify_volume"

#: made when it is sent: the name of the flavor ``instance_type_id``
FLAVOR_NAME = "instance_type"

_STATUS = ("tenant_id", "user_id", "instance_id", "instance_name", FLAVOR_NAME,
           "instance_type_id", "launched_at", "created_at", "state", "state_description",
           "nova_instance_id", "service_id", "region")
_COMMON = ("name", "availability_zone", "instance_size", "volume_size", "nova_volume_id",
           "cluster_id")
#: those of :data:`_COMMON` that an instance may be without
_ABSENT = frozenset({"volume_size", "nova_volume_id", "cluster_id"})

#: event type → keys of the payload
FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    CREATED: _STATUS + _COMMON,
    DELETED: (*_STATUS, *_COMMON, "deleted_at"),
    NEW_FLAVOR: (*_STATUS, *_COMMON, "old_instance_size", "modify_at"),
    NEW_VOLUME: (*_STATUS, *_COMMON, "old_volume_size", "modify_at"),
    EXISTS: (*_STATUS, "display_name", "audit_period_beginning", "audit_period_ending"),
    QUOTA: ("tenant_id", "resource", "in_use", "reserved", "limit", "updated"),
}


def fact(event_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of an event that is no request.

    The name of the flavor is left out: it is made when the event is sent.

    :raises ValueError: names the keys that are missing, or not the event's
    """
    keys = [name for name in FACTS[event_type] if name != FLAVOR_NAME]
    return _payload(event_type, keys, _ABSENT, values)
