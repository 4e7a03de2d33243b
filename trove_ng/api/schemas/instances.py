"""Bodies about instances."""

from __future__ import annotations

from trove_ng.api.schemas.common import (
    CIDR,
    DATASTORE,
    EMPTY,
    FLAVOR_REF,
    IP,
    NAME,
    REGION,
    TITLE,
    UUID,
    VOLUME_SIZE,
    Schema,
    array,
    obj,
)
from trove_ng.api.schemas.users import DATABASE, USER
from trove_ng.domain.failover import MODES

#: networks that may reach an instance
MOST_CIDRS = 100
ACCESS: Schema = obj({
    "is_public": {"type": "boolean"},
    "allowed_cidrs": {"type": "array", "items": CIDR, "uniqueItems": True,
                      "maxItems": MOST_CIDRS}})
NIC: Schema = obj({
    "net-id": UUID, "network_id": UUID, "subnet_id": UUID, "subnet-id": UUID,
    "ip_address": IP, "ip-address": IP, "v4-fixed-ip": IP, "port-id": UUID},
    minProperties=1)
#: an instant in ISO 8601; without a zone it is UTC
_TIME: Schema = {"type": "string", "maxLength": 40, "pattern":
                 r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
                 r"(Z|[+-][0-9]{2}:[0-9]{2})?$"}
#: the archive of what is written between backups
LOG_ARCHIVING: Schema = obj({
    "enabled": {"type": "boolean"},
    "retention_days": {"type": "integer", "minimum": 1, "maximum": 365}}, ("enabled",))
_LOCALITY: Schema = {"enum": [
    "affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]}

#: what becomes of a set of replicas whose source is lost
FAILOVER: Schema = obj({
    "mode": {"enum": list(MODES)},
    "timeout_seconds": {"type": "integer", "minimum": 3, "maximum": 3600},
    "min_interval_seconds": {"type": "integer", "minimum": 30, "maximum": 604800},
    "max_lag": {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 86400},
                          {"type": "null"}]}}, ("mode",))

CREATE: Schema = obj({"instance": obj({
    "name": TITLE,
    "flavorRef": FLAVOR_REF,
    "volume": obj({"size": VOLUME_SIZE,
                   "type": {"type": ["string", "null"], "maxLength": 255}}, ("size",)),
    "volume_config": {"oneOf": [NAME, {"type": "null"}]},
    "volume_list": array(obj({"volume_kind": NAME, "size": VOLUME_SIZE},
                             ("volume_kind", "size")), 1, 10),
    "databases": array(DATABASE, maximum=1000),
    "users": array(USER, maximum=1000),
    "restorePoint": obj({"backupRef": UUID, "time": _TIME}, ("backupRef",)),
    "log_archiving": LOG_ARCHIVING,
    "availability_zone": {"type": ["string", "null"], "minLength": 1, "maxLength": 255},
    "datastore": DATASTORE,
    "nics": array(NIC, maximum=1),
    "access": ACCESS,
    "configuration": {"oneOf": [UUID, {"type": "null"}]},
    "replica_of": {"oneOf": [UUID, {"type": "null"}]},
    # released clients send either
    "replica_count": {"oneOf": [{"type": "integer", "minimum": 1, "maximum": 3},
                                {"type": "string", "pattern": "^[1-3]$"}]},
    "modules": array(obj({"id": UUID}, ("id",))),
    "locality": _LOCALITY,
    "failover": FAILOVER,
    "region_name": REGION,
    "region": REGION,
}, ("name",))}, ("instance",), examples=[{"instance": {
    "name": "shop", "flavorRef": "1", "volume": {"size": 5},
    "datastore": {"type": "mariadb", "version": "10.11"},
    "databases": [{"name": "shop"}],
    "users": [{"name": "app", "password": "a-Password1", "databases": [{"name": "shop"}]}],
    "access": {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]}}}])

UPDATE: Schema = obj({"instance": obj({
    "name": TITLE,
    "configuration": {"oneOf": [UUID, {"type": "null"}]},
    "replica_of": {"oneOf": [UUID, {"type": "null"}]},
    "slave_of": {"oneOf": [UUID, {"type": "null"}]},
    "access": ACCESS,
    "datastore_version": NAME,
    "failover": FAILOVER,
    "log_archiving": LOG_ARCHIVING,
})}, ("instance",), examples=[{"instance": {"name": "shop-2"}}])

_RESIZE: Schema = obj({
    "flavorRef": FLAVOR_REF,
    "volume": obj({"size": VOLUME_SIZE, "volume_kind": NAME}, ("size",)),
}, minProperties=1, maxProperties=1)

#: the actions by their key in the body
ACTIONS: dict[str, Schema] = {
    "restart": EMPTY,
    "resize": _RESIZE,
    "promote_to_replica_source": EMPTY,
    "eject_replica_source": EMPTY,
    "detach_replica": EMPTY,
    "reset_status": {"type": ["object", "null"], "additionalProperties": False,
                     "properties": {"force_delete": {"type": "boolean"}}},
}
ACTION: Schema = obj(ACTIONS, minProperties=1, maxProperties=1, examples=[
    {"restart": {}}, {"resize": {"flavorRef": "2"}}, {"resize": {"volume": {"size": 10}}}])

MGMT_ACTIONS: dict[str, Schema] = {
    "reset-task-status": EMPTY,
    "stop": EMPTY,
    "reboot": EMPTY,
    "migrate": obj({"host": {"type": ["string", "null"], "minLength": 1, "maxLength": 255}}),
    "rebuild": obj({"image_id": UUID}, ("image_id",)),
    # of the agent
    "update": EMPTY,
}
MGMT_ACTION: Schema = obj(MGMT_ACTIONS, minProperties=1, maxProperties=1,
                          examples=[{"reset-task-status": {}}, {"reboot": {}},
                                    {"migrate": {}}, {"stop": {}}])

#: all that a request says must be what is configured
UPGRADE_AGENT: Schema = obj({"upgrade": {
    "type": ["object", "null"], "additionalProperties": False, "properties": {
        "instance_version": {"type": ["string", "null"], "maxLength": 64},
        "location": {"type": ["string", "null"], "maxLength": 2048},
        "metadata": {"type": ["object", "null"], "additionalProperties": False, "properties": {
            "sha256": {"type": ["string", "null"], "maxLength": 64}}}}}}, ("upgrade",))
