"""What clients get.  An answer has no other keys than these."""

from __future__ import annotations

from typing import Any

from trove_ng.api.schemas.common import Schema, array, obj

_S: Schema = {"type": "string"}
_SN: Schema = {"type": ["string", "null"]}
_I: Schema = {"type": "integer"}
_IN: Schema = {"type": ["integer", "null"]}
_N: Schema = {"type": "number"}
_NN: Schema = {"type": ["number", "null"]}
_B: Schema = {"type": "boolean"}
LINK = obj({"rel": _S, "href": _S}, ("rel", "href"))
LINKS = array(LINK)


def _of(key: str, schema: Schema) -> Schema:
    return obj({key: schema}, (key,))


def _of_regions(key: str, item: Schema) -> Schema:
    return obj({key: array(item), "regions_away": array(_S)}, (key, "regions_away"))


def _page(key: str, item: Schema) -> Schema:
    return obj({key: array(item), "links": LINKS}, (key,))


_REF = obj({"id": _S, "links": LINKS}, ("id",))
_INSTANCE_DATASTORE = obj({"type": _S, "version": _S, "version_number": _S},
                          ("type", "version"))
_INSTANCE: dict[str, Any] = {
    "id": _S, "name": _S, "status": _S, "operating_status": _S, "links": LINKS,
    "operating_status_reason": _S,
    "flavor": _REF, "datastore": _INSTANCE_DATASTORE, "region": _SN,
    "access": obj({"is_public": _B, "allowed_cidrs": array(_S)}),
    "volume": obj({"size": _IN, "used": _NN, "used_percent": _NN, "id": _SN, "type": _SN}),
    "local_storage": obj({"used": _NN}),
    "hostname": _S, "ip": array(_S),
    "addresses": array(obj({"address": _S, "type": _S, "network": _SN})),
    "replication": obj({"lag": _IN, "position": _S, "connected": {"type": ["boolean", "null"]}},
                       ("lag", "position", "connected")),
    "failover": obj({"mode": _S, "timeout_seconds": _I, "min_interval_seconds": _I,
                     "max_lag": _IN, "last_at": _SN}, ("mode",)),
    "log_archiving": obj({"enabled": _B, "retention_days": _I, "error": _S, "archived_at": _S},
                         ("enabled", "retention_days")),
    "earliest_restorable_time": _SN, "latest_restorable_time": _SN,
    "replica_of": _REF, "replicas": array(_REF), "tenant_id": _S,
    "created": _S, "updated": _S, "service_status_updated": _SN,
    "fault": obj({"message": _S, "created": _S, "details": _S}, ("message", "created")),
    "configuration": obj({"id": _S, "name": _SN, "links": LINKS}, ("id",)),
    "locality": _S, "password": _S, "cluster_id": _S, "shard_id": _S,
    "server_id": _SN, "volume_id": _SN, "encrypted_rpc_messaging": _B,
    # operators only
    "deleted": _B, "deleted_at": _SN, "task_description": _S, "service_status": _SN,
    "server": obj({"id": _SN, "status": _SN, "name": _S, "tenant_id": _S, "host": _SN,
                   "addresses": array(obj({"address": _S, "type": _S, "network": _SN}))}),
    "guest_status": obj({"state_description": _SN, "agent_version": _SN}), "root_enabled": _SN,
    "root_enabled_by": _SN,
}
_ONE_INSTANCE = obj(_INSTANCE, ("id", "name", "status", "flavor", "links"))
INSTANCE = _of("instance", _ONE_INSTANCE)
INSTANCES = _page("instances", _ONE_INSTANCE)

_DATABASE = obj({"name": _S, "character_set": _SN, "collate": _SN}, ("name",))
DATABASE = _of("database", _DATABASE)
DATABASES = _page("databases", _DATABASE)
_USER = obj({"name": _S, "host": _SN, "databases": array(_DATABASE)},
            ("name", "databases"))
USER = _of("user", _USER)
USERS = _page("users", _USER)
SSL = _of("ssl", obj({
    "status": {"enum": ["on", "off"]}, "mode": _SN, "restart_required": _B,
    "container_ref": _SN, "certificate": obj({
        "cn": _S, "san": array(_S), "expire_at": _S, "payload": _S, "authority": _S},
        ("cn", "san", "expire_at"))}, ("status", "mode", "restart_required")))
ROOT_ENABLED = _of("rootEnabled", _B)
_FAILED_REPLICAS = {"failed_slaves": array(_S)}
ROOT_USER = obj({"user": obj({"name": _S, "password": _S}, ("name", "password")),
                 **_FAILED_REPLICAS}, ("user",))
ROOT_DISABLED = obj(_FAILED_REPLICAS, tuple(_FAILED_REPLICAS))
ROOT_HISTORY = _of("root_history", obj({"id": _S, "enabled": _S, "user": _S}))

_LOG: dict[str, Any] = {
    "name": _S, "type": _S, "status": _S, "published": _I, "pending": _I, "container": _S,
    "prefix": _S, "metafile": _S}
LOG = _of("log", obj(_LOG, tuple(_LOG)))
LOGS = _of("logs", array(obj(_LOG, tuple(_LOG))))

_BACKUP = obj({
    "id": _S, "name": _S, "description": _SN, "locationRef": _SN, "instance_id": _SN,
    "created": _S, "updated": _S, "size": _NN, "status": _S, "error": _SN, "parent_id": _SN,
    "project_id": _S, "storage_driver": _SN, "verified_at": _SN, "restore_seconds": _NN,
    "verification": {"anyOf": [obj({
        "result": {"enum": ["GOOD", "CORRUPT", "FAILED"]}, "at": _S, "operation_id": _S,
        "reason": _SN, "size": _NN,
        "counts": {"type": "object", "additionalProperties": _I}}, ("result", "at")),
        {"type": "null"}]},
    "datastore": obj({"type": _S, "version": _S, "version_id": _S, "version_number": _S},
                     ("type", "version", "version_id"))},
    ("id", "name", "status"))
BACKUP = _of("backup", _BACKUP)
BACKUPS = _page("backups", _BACKUP)
_STRATEGY = obj({"project_id": _S, "instance_id": _SN, "backend": _S, "swift_container": _SN},
                ("project_id", "instance_id", "backend", "swift_container"))
BACKUP_STRATEGY = _of("backup_strategy", _STRATEGY)
BACKUP_STRATEGIES = _of("backup_strategies", {"type": "array", "items": _STRATEGY})

_MODULE: dict[str, Any] = {
    "id": _S, "name": _S, "type": _S, "description": _SN, "datastore_id": _S, "datastore": _S,
    "datastore_version_id": _S, "datastore_version": _S, "auto_apply": _B,
    "priority_apply": _B, "apply_order": _I, "is_admin": _B, "md5": _S, "created": _SN,
    "updated": _SN}
_ONE_MODULE = obj({**_MODULE, "tenant": _S, "tenant_id": _S, "live_update": _B,
                   "instance_count": _I, "visible": _B}, tuple(_MODULE))
MODULE = _of("module", _ONE_MODULE)
MODULES = _page("modules", _ONE_MODULE)
INSTANCE_MODULES = _of("modules", array(obj({
    **_MODULE, "status": {"enum": ["OK", "FAILED"]}, "message": _S, "error_message": _SN,
    "filename": _S, "installed": _SN, "contents": _S}, tuple(_MODULE))))
MODULE_FILE = obj({"filename": _S, "contents": _S, "md5": _S}, ("filename", "contents", "md5"))
_MODULE_COUNT = obj({
    "module_id": _S, "module_name": _S, "module_md5": _S, "current": _B, "instance_count": _I,
    "min_updated_date": _SN, "max_updated_date": _SN}, ("module_id", "module_md5"))
MODULE_INSTANCES = _page("instances", {"anyOf": [_ONE_INSTANCE, _MODULE_COUNT]})
_SCHEDULE: dict[str, Any] = {
    "id": _S, "name": _S, "description": _SN, "project_id": _S, "instance_id": _S,
    "pattern": _S, "time_zone": _S, "full_every": _I, "keep_count": _IN, "keep_days": _IN,
    "paused": _B, "parent_id": _SN, "verify": {"anyOf": [
        obj({"every": _I, "pattern": _S}), {"type": "null"}]},
    "next_verify_at": _SN, "next_run_at": _SN, "last_run_at": _SN, "created": _S,
    "updated": _S}
SCHEDULE = _of("schedule", obj(_SCHEDULE, tuple(_SCHEDULE)))
SCHEDULES = _page("schedules", obj(_SCHEDULE, tuple(_SCHEDULE)))
_EXECUTION: dict[str, Any] = {
    "id": _S, "schedule_id": _S, "tick_at": _S, "state": _S, "output": _SN, "backup_id": _SN,
    "verification": _SN, "created": _S, "updated": _S}
EXECUTION = _of("execution", obj(_EXECUTION, tuple(_EXECUTION)))
EXECUTIONS = _page("executions", obj(_EXECUTION, tuple(_EXECUTION)))

_OPERATION: dict[str, Any] = {
    "id": _S, "action": _S, "resource_type": _S, "resource_id": _S, "status": _S,
    "percent": _I, "step": _SN, "error": _SN, "request_id": _SN, "project_id": _S,
    "attempts": _I, "cancellable": _B, "cancel_requested": _B, "created": _S,
    "started_at": _SN, "ended_at": _SN}
_STEP = obj({"name": _S, "status": _S, "attempts": _I, "started_at": _S, "ended_at": _SN,
             "error": _SN}, ("name", "status", "started_at"))
OPERATION = _of("operation", obj({**_OPERATION, "steps": array(_STEP)},
                                 (*_OPERATION, "steps")))
OPERATIONS = _page("operations", obj(_OPERATION, tuple(_OPERATION)))
EVENTS = _page("events", obj({
    "id": _S, "kind": _S, "message": _S, "created": _S, "operation_id": _SN,
    "request_id": _SN, "user_id": _SN, "details": {"type": "object"}},
    ("id", "kind", "message", "created")))

_VERSION = obj({
    "id": _S, "name": _S, "version": _S, "links": LINKS, "datastore": _S, "active": _B,
    "packages": _S, "image": _SN, "image_tags": array(_S), "registry_ext": _S,
    "repl_strategy": _S, "visibility": _S}, ("id", "name", "links"))
_DATASTORE = obj({"id": _S, "name": _S, "links": LINKS, "versions": array(_VERSION),
                  "default_version": _SN}, ("id", "name", "versions"))
DATASTORE = _of("datastore", _DATASTORE)
DATASTORES = _page("datastores", _DATASTORE)
VERSION = _of("version", _VERSION)
VERSIONS = _page("versions", _VERSION)

_MGMT_VERSION: dict[str, Any] = {
    "id": _S, "name": _S, "version": _S, "datastore_id": _S, "datastore_name": _S,
    "datastore_manager": _S, "manager": _S, "image": _SN, "image_tags": array(_S),
    "packages": array(_S), "active": _B, "default": _B, "visibility": _S, "registry_ext": _S,
    "repl_strategy": _S}
_ONE_MGMT_VERSION = obj(_MGMT_VERSION, tuple(_MGMT_VERSION))
MGMT_VERSION = _of("version", _ONE_MGMT_VERSION)
MGMT_VERSIONS = _page("versions", _ONE_MGMT_VERSION)
_MEMBER = obj({"id": _S, "datastore_version_id": _S, "member": _S},
              ("id", "datastore_version_id", "member"))
MEMBER = _of("datastore_version_member", _MEMBER)
MEMBERS = _of("datastore_version_members", array(_MEMBER))
_SWITCH: dict[str, Any] = {"name": _S, "description": _S, "enabled": _B}
CAPABILITY = _of("capability", obj(_SWITCH, tuple(_SWITCH)))
SWITCHES = _of("capabilities", array(obj(_SWITCH, tuple(_SWITCH))))
_CAPABILITY: dict[str, Any] = {**_SWITCH, "reason": _SN, "values": array(_S)}
CAPABILITIES = _of("capabilities", array(obj(_CAPABILITY, tuple(_CAPABILITY))))
_OVERRIDE: dict[str, Any] = {**_CAPABILITY, "declared": _B,
                             "override": {"type": ["boolean", "null"]}}
OVERRIDES = _of("capabilities", array(obj(_OVERRIDE, tuple(_OVERRIDE))))
#: what released clients expect where there is nothing to tell
NOTHING = obj({})

_FLAVOR = obj({"id": {"type": ["integer", "string", "null"]}, "str_id": _S, "name": _S,
               "ram": _I, "vcpus": _I, "disk": _I, "ephemeral": _I, "links": LINKS},
              ("id", "str_id", "name", "ram"))
FLAVOR = _of("flavor", _FLAVOR)
FLAVORS = _of("flavors", array(_FLAVOR))
_VOLUME_TYPE = obj({"id": _S, "name": _S, "is_public": _B, "description": _SN},
                   ("id", "name"))
VOLUME_TYPE = _of("volume_type", _VOLUME_TYPE)
VOLUME_CONFIGS = _of("volume_configs", array(_S))
VOLUME_CONFIG = _of("volume_config", obj({"name": _S, "volumes": array(obj({
    "volume_kind": _S, "size": {"type": ["integer", "null"]}, "provider": _S,
    "provider_type": _SN, "device_type": _S, "required": _B}))}))
VOLUMES = _of("volumes", array(obj({
    "volume_id": _SN, "size": _I, "volume_kind": _S, "provider": _S, "device_type": _SN})))
VOLUME_TYPES = _of("volume_types", array(_VOLUME_TYPE))

_CONFIGURATION = obj({
    "id": _S, "name": _S, "description": _SN, "created": _S, "updated": _S,
    "datastore_name": _S, "datastore_version_id": _S, "datastore_version_name": _S,
    "datastore_version_number": _S, "instance_count": _I,
    "values": {"type": "object"}}, ("id", "name", "datastore_version_id"))
CONFIGURATION = _of("configuration", _CONFIGURATION)
CONFIGURATIONS = _page("configurations", _CONFIGURATION)
INSTANCE_CONFIGURATION = _of("instance", _of("configuration", {
    "type": "object", "additionalProperties": _S}))
CONFIGURATION_INSTANCES = _page("instances", obj({"id": _S, "name": _S}, ("id", "name")))
_PARAMETER: dict[str, Any] = {
    "name": _S, "datastore_version_id": _S, "restart_required": _B, "type": _S,
    "min": {"type": ["integer", "number", "string"]},
    "max": {"type": ["integer", "number", "string"]},
    "description": _SN, "choices": array(_S)}
PARAMETER = obj(_PARAMETER, ("name", "type"))
PARAMETERS = _of("configuration-parameters", array(PARAMETER))
MGMT_PARAMETER = obj({**_PARAMETER, "deleted": _B, "deleted_at": _SN},
                     ("name", "type", "deleted"))
MGMT_PARAMETERS = _of("configuration-parameters", array(MGMT_PARAMETER))

_GB: Schema = {"type": ["number", "null"]}
HOSTS = _of_regions("hosts", obj(
    {"name": _S, "region": _S, "status": _S, "state": _S, "instanceCount": _I},
    ("name", "region", "instanceCount")))
HOST = _of("host", obj({
    "name": _S, "region": _S, "status": _S, "state": _S, "instanceCount": _I, "totalRAM": _IN,
    "usedRAM": _IN, "percentUsed": _IN,
    "instances": array(obj({"id": _S, "name": _S, "status": _S, "server_id": _S,
                            "tenant_id": _S}))}, ("name", "instances")))
HOST_ACTION = _of("instances", array(obj(
    {"id": _S, "operation_id": _SN, "problem": _SN}, ("id", "operation_id", "problem"))))
DEVICES = _of_regions("devices", obj({
    "name": _S, "region": _S, "type": _S, "used": _GB,
    "capacity": obj({"total": _GB, "available": _GB}),
    "provision": obj({"total": _GB, "available": _GB, "percent": _IN})}, ("name", "capacity")))
_ACCOUNT: dict[str, Any] = {"id": _S, "name": _S, "num_instances": _I}
ACCOUNTS = _page("accounts", obj(_ACCOUNT, tuple(_ACCOUNT)))
ACCOUNT = _of("account", obj({**_ACCOUNT, "instance_ids": array(_S)}, (
    *_ACCOUNT, "instance_ids")))
HWINFO = _of("hwinfo", obj({"mem_total": _I, "num_cpus": _I}))
DIAGNOSTICS = _of("diagnostics", obj({
    "version": _S, "threads": _I, "fdSize": _I, "vmSize": _I, "vmPeak": _I, "vmRss": _I,
    "vmHwm": _I}))
METADATA = _of("metadata", {"type": "object"})
_SECURITY_RULE = obj({
    "id": _S, "security_group_id": _S, "protocol": _S, "from_port": _I, "to_port": _I,
    "cidr": _S, "created": _S}, ("id", "security_group_id", "protocol", "cidr"))
#: released clients expect a list here
SECURITY_GROUP_RULES = _of("security_group_rule", array(_SECURITY_RULE))
_SECURITY_GROUP = obj({
    "id": _S, "name": _S, "description": _S, "instance_id": _S, "rules": array(_SECURITY_RULE),
    "created": _S, "updated": _S, "links": LINKS}, ("id", "name", "instance_id", "rules"))
SECURITY_GROUP = _of("security_group", _SECURITY_GROUP)
SECURITY_GROUPS = _page("security_groups", _SECURITY_GROUP)
CLUSTERS = _page("clusters", {"type": "object", "required": ["id"]})

LIMITS = _of("limits", array({"type": "object", "required": ["verb"]}))
QUOTAS = _of("quotas", array(obj(
    {"resource": _S, "in_use": _I, "reserved": _I, "limit": _I},
    ("resource", "in_use", "reserved", "limit"))))
QUOTA_LIMITS = _of("quotas", {"type": "object", "additionalProperties": _I})
