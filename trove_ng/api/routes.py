"""The whole surface of the API as data.

The controllers, 405 with ``Allow``, the OpenAPI document and the tests of access and
bad input are made from this table.  A path is below ``/v1.0/{tenant_id}``; a handler
is ``module:function`` below ``trove_ng.api.handlers`` and is imported at its first use.
A fixed segment outranks a parameter.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trove_ng.api.notified import Notify
from trove_ng.api.parsing import flag_pattern
from trove_ng.api.schemas import (
    answers,
    backups,
    common,
    configurations,
    datastores,
    estate,
    guest_logs,
    instances,
    metadata,
    modules,
    quotas,
    schedules,
    security_groups,
    users,
)
from trove_ng.common.states import EventKind

Schema = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one path.

    :param rule: policy rule that the caller must pass; a handler may ask for more
    :param success: status code of a good answer
    :param request: JSON schema of the body; None: there is no body
    :param answer: JSON schema of the body of a good answer; None: there is no body
    :param query: names of query parameters → JSON schema of each
    :param body_optional: the body may be left out
    :param fails: statuses of failures besides those that any route may answer, which are
        400, 401, 403, 406, 413, 415, 503, and 404 where the path has parameters
    :param notify: how other services are told of a request that is done while its client
        waits; operations are told where they are accepted
    """

    method: str
    path: str
    handler: str
    rule: str
    success: int
    answer: Schema | None = None
    request: Schema | None = None
    query: dict[str, Schema] = dataclasses.field(default_factory=dict)
    body_optional: bool = False
    fails: tuple[int, ...] = ()
    notify: Notify | None = None


_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"anyOf": [{"type": "boolean"},
                           {"type": "string", "pattern": flag_pattern()}]}
_PAGE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 0, "maximum": 999999999},
    "marker": {"type": "string", "maxLength": 512}}
#: pages by position
_OFFSET: dict[str, Schema] = {
    **_PAGE, "marker": {"type": "integer", "minimum": 0, "maximum": 999999999}}
_EVENT_LIST = {**_PAGE, "kind": {"type": "string", "enum": [str(one) for one in EventKind]}}
#: what begins work fails so, when other work is done, or the state does not allow it
_WORK = (409, 422)
#: what asks an agent fails so
_GUEST = (409, 422, 501)
_INSTANCE_LIST = {**_PAGE, "include_clustered": _FLAG, "deleted": _FLAG}

_METADATUM = {"instance_id": "path:id", "key": "path:key"}
_METADATA = Notify("instance_metadata_update", _METADATUM)

_INSTANCES = (
    Route("GET", "/instances", "instances:index", "instance:index", 200,
          answers.INSTANCES, query=_INSTANCE_LIST),
    Route("GET", "/instances/detail", "instances:detail", "instance:detail", 200,
          answers.INSTANCES, query=_INSTANCE_LIST),
    Route("POST", "/instances", "create_instance:create", "instance:create", 200,
          answers.INSTANCE, instances.CREATE, fails=(404, 501)),
    Route("GET", "/instances/{id}", "instances:show", "instance:show", 200,
          answers.INSTANCE),
    Route("PUT", "/instances/{id}", "instances:update", "instance:update", 202,
          None, instances.UPDATE, fails=(*_WORK, 501)),
    Route("PATCH", "/instances/{id}", "instances:update", "instance:edit", 202,
          None, instances.UPDATE, fails=(*_WORK, 501)),
    Route("DELETE", "/instances/{id}", "instances:delete", "instance:delete", 202,
          fails=_WORK),
    # The action's own rule is asked by the handler.
    Route("POST", "/instances/{id}/action", "instance_actions:act", "instance:show", 202,
          None, instances.ACTION, fails=(*_WORK, 501)),
    Route("GET", "/instances/{id}/configuration", "instances:configuration",
          "instance:configuration", 200, answers.INSTANCE_CONFIGURATION),
    Route("GET", "/instances/{id}/backups", "backups:of_instance", "instance:backups", 200,
          answers.BACKUPS, query=_OFFSET),
    Route("GET", "/instances/{id}/metadata", "metadata:index", "instance:metadata:index", 200,
          answers.METADATA),
    Route("GET", "/instances/{id}/metadata/{key}", "metadata:show",
          "instance:metadata:show", 200, answers.METADATA),
    Route("POST", "/instances/{id}/metadata/{key}", "metadata:create",
          "instance:metadata:create", 200, answers.METADATA, metadata.CREATE,
          fails=(409,), notify=_METADATA),
    Route("PUT", "/instances/{id}/metadata/{key}", "metadata:update",
          "instance:metadata:update", 200, answers.METADATA, metadata.UPDATE,
          fails=(409,), notify=_METADATA),
    Route("PATCH", "/instances/{id}/metadata/{key}", "metadata:edit",
          "instance:metadata:edit", 200, answers.METADATA, metadata.CREATE,
          notify=_METADATA),
    Route("DELETE", "/instances/{id}/metadata/{key}", "metadata:delete",
          "instance:metadata:delete", 204, notify=Notify(
              "instance_metadata_delete", _METADATUM)),
    Route("GET", "/instances/{id}/volumes", "volumes:of_instance", "instance:volumes", 200,
          answers.VOLUMES),
    Route("GET", "/instances/{id}/events", "events:index", "instance:events", 200,
          answers.EVENTS, query=_EVENT_LIST),
    Route("GET", "/instances/{id}/log", "guest_logs:index", "instance:guest_log_list", 200,
          answers.LOGS, fails=_GUEST),
    # What changes something asks instance:guest_log_action too.
    Route("POST", "/instances/{id}/log", "guest_logs:act", "instance:guest_log_show", 200,
          answers.LOG, guest_logs.ACTION, fails=_GUEST, notify=Notify(
              "instance_log", {"instance_id": "path:id", "log": "body:name"},
              changes=guest_logs.ACTIONS)),
)

_DATABASES = (
    Route("GET", "/instances/{id}/databases", "databases:index",
          "instance:extension:database:index", 200, answers.DATABASES, query=_PAGE, fails=_GUEST),
    Route("POST", "/instances/{id}/databases", "databases:create",
          "instance:extension:database:create", 202, None, users.DATABASES, fails=_GUEST,
          notify=Notify("database_create", {
              "instance_id": "path:id", "dbname": "each:databases.name"})),
    Route("GET", "/instances/{id}/databases/{database}", "databases:show",
          "instance:extension:database:show", 200, answers.DATABASE, fails=_GUEST),
    Route("DELETE", "/instances/{id}/databases/{database}", "databases:delete",
          "instance:extension:database:delete", 202, fails=_GUEST,
          notify=Notify("database_delete", {
              "instance_id": "path:id", "dbname": "path:database"})),
)

_USERS = (
    Route("GET", "/instances/{id}/users", "users:index",
          "instance:extension:user:index", 200, answers.USERS, query=_PAGE, fails=_GUEST),
    Route("POST", "/instances/{id}/users", "users:create",
          "instance:extension:user:create", 202, None, users.USERS, fails=_GUEST,
          notify=Notify("user_create", {
              "instance_id": "path:id", "username": "each:users.name"})),
    Route("PUT", "/instances/{id}/users", "users:change_passwords",
          "instance:extension:user:update_all", 202, None, users.PASSWORDS, fails=_GUEST,
          notify=Notify("user_change_password", {
              "instance_id": "path:id", "username": "each:users.name"})),
    Route("GET", "/instances/{id}/users/{user}", "users:show",
          "instance:extension:user:show", 200, answers.USER, fails=_GUEST),
    Route("PUT", "/instances/{id}/users/{user}", "users:update",
          "instance:extension:user:update", 202, None, users.USER_UPDATE, fails=_GUEST,
          notify=Notify("user_update_attributes", {
              "instance_id": "path:id", "username": "path:user"})),
    Route("DELETE", "/instances/{id}/users/{user}", "users:delete",
          "instance:extension:user:delete", 202, fails=_GUEST,
          notify=Notify("user_delete", {
              "instance_id": "path:id", "username": "path:user"})),
    Route("GET", "/instances/{id}/users/{user}/databases", "users:list_access",
          "instance:extension:user_access:index", 200, answers.DATABASES, fails=_GUEST),
    Route("PUT", "/instances/{id}/users/{user}/databases", "users:grant_access",
          "instance:extension:user_access:update", 202, None, users.GRANT, fails=_GUEST,
          notify=Notify("user_grant", {
              "instance_id": "path:id", "username": "path:user",
              "database": "each:databases.name"})),
    Route("DELETE", "/instances/{id}/users/{user}/databases/{database}",
          "users:revoke_access", "instance:extension:user_access:delete", 202, fails=_GUEST,
          notify=Notify("user_revoke", {
              "instance_id": "path:id", "username": "path:user",
              "database": "path:database"})),
    Route("GET", "/instances/{id}/root", "root:show",
          "instance:extension:root:index", 200, answers.ROOT_ENABLED),
    Route("POST", "/instances/{id}/root", "root:enable",
          "instance:extension:root:create", 200, answers.ROOT_USER, users.ROOT,
          body_optional=True, fails=_GUEST,
          notify=Notify("root_enable", {"instance_id": "path:id"})),
    Route("DELETE", "/instances/{id}/root", "root:disable",
          "instance:extension:root:delete", 204, fails=_GUEST,
          notify=Notify("root_disable", {"instance_id": "path:id"})),
)

_BACKUPS = (
    Route("GET", "/backups", "backups:index", "backup:index", 200, answers.BACKUPS,
          query={**_OFFSET, "datastore": _TEXT, "instance_id": _TEXT, "project_id": _TEXT,
                 "all_projects": _FLAG}),
    Route("POST", "/backups", "backups:create", "backup:create", 202, answers.BACKUP,
          backups.CREATE, fails=(404, *_WORK, 501)),
    Route("GET", "/backups/{id}", "backups:show", "backup:show", 200, answers.BACKUP),
    Route("DELETE", "/backups/{id}", "backups:delete", "backup:delete", 202, fails=_WORK),
    Route("GET", "/backup_strategies", "backup_strategies:index", "backup_strategy:index", 200,
          answers.BACKUP_STRATEGIES, query={"instance_id": _TEXT, "project_id": _TEXT}),
    Route("POST", "/backup_strategies", "backup_strategies:put", "backup_strategy:create", 202,
          answers.BACKUP_STRATEGY, backups.STRATEGY, fails=(404,),
          notify=Notify("backup_strategy_create", {
              "instance_id": "body:backup_strategy.instance_id",
              "swift_container": "body:backup_strategy.swift_container"})),
    Route("DELETE", "/backup_strategies", "backup_strategies:delete",
          "backup_strategy:delete", 202,
          query={"instance_id": _TEXT, "project_id": _TEXT},
          notify=Notify("backup_strategy_delete", {})),
)

_SCHEDULE = {"schedule_id": "path:id"}
_SCHEDULES = (
    Route("GET", "/schedules", "schedules:index", "schedule:index", 200, answers.SCHEDULES,
          query={**_PAGE, "instance_id": _TEXT}),
    Route("POST", "/schedules", "schedules:create", "schedule:create", 201, answers.SCHEDULE,
          schedules.CREATE, fails=(404,), notify=Notify(
              "schedule_create", {"name": "body:schedule.name",
                                  "instance_id": "body:schedule.instance"},
              {"schedule_id": "answer:schedule.id"})),
    Route("GET", "/schedules/{id}", "schedules:show", "schedule:show", 200, answers.SCHEDULE),
    Route("PATCH", "/schedules/{id}", "schedules:update", "schedule:update", 200,
          answers.SCHEDULE, schedules.UPDATE, notify=Notify("schedule_update", _SCHEDULE)),
    Route("DELETE", "/schedules/{id}", "schedules:delete", "schedule:delete", 204,
          notify=Notify("schedule_delete", _SCHEDULE)),
    Route("POST", "/schedules/{id}/run", "schedules:run", "schedule:run", 202,
          answers.EXECUTION, common.EMPTY, body_optional=True, fails=_WORK),
    Route("GET", "/schedules/{id}/executions", "schedules:executions",
          "schedule:executions", 200, answers.EXECUTIONS, query=_PAGE),
    Route("DELETE", "/schedules/{id}/executions/{execution_id}",
          "schedules:delete_execution", "schedule:delete_execution", 204,
          notify=Notify("schedule_execution_delete", {
              **_SCHEDULE, "execution_id": "path:execution_id"})),
)

_DATASTORES = (
    Route("GET", "/datastores", "datastores:index", "datastore:index", 200,
          answers.DATASTORES, query=_PAGE),
    Route("GET", "/datastores/{datastore}", "datastores:show", "datastore:show", 200,
          answers.DATASTORE),
    Route("GET", "/datastores/{datastore}/versions", "datastores:versions",
          "datastore:version_index", 200, answers.VERSIONS, query=_PAGE),
    Route("GET", "/datastores/versions/{id}", "datastores:version",
          "datastore:version_show_by_uuid", 200, answers.VERSION),
    Route("GET", "/datastores/{datastore}/versions/{id}", "datastores:version",
          "datastore:version_show", 200, answers.VERSION),
    Route("GET", "/datastores/{datastore}/versions/{id}/flavors",
          "flavors:of_version", "datastore:list_associated_flavors", 200, answers.FLAVORS),
    Route("GET", "/datastores/{datastore}/versions/{id}/volume-types",
          "flavors:volume_types_of_version", "datastore:list_associated_volume_types", 200,
          answers.VOLUME_TYPES),
    Route("GET", "/flavors", "flavors:index", "flavor:index", 200, answers.FLAVORS),
    Route("GET", "/flavors/{id}", "flavors:show", "flavor:show", 200, {
        "anyOf": [answers.FLAVOR, answers.FLAVORS]}),
    Route("GET", "/volume-types", "flavors:volume_types", "volume_type:index", 200,
          answers.VOLUME_TYPES),
    Route("GET", "/volume_configs", "volumes:configs", "volume_config:index", 200,
          answers.VOLUME_CONFIGS),
    Route("GET", "/volume_configs/{config}", "volumes:config", "volume_config:show", 200,
          answers.VOLUME_CONFIG),
    Route("GET", "/volume-types/{id}", "flavors:volume_type", "volume_type:show", 200,
          answers.VOLUME_TYPE),
)

#: a notification of the group that the path names
_CONFIGURATION = {"configuration_id": "path:id"}

_CONFIGURATIONS = (
    Route("GET", "/configurations", "configurations:index", "configuration:index", 200,
          answers.CONFIGURATIONS, query=_PAGE),
    Route("POST", "/configurations", "configurations:create", "configuration:create", 200,
          answers.CONFIGURATION, configurations.CREATE, fails=(404, 422), notify=Notify(
              "configuration_create",
              {"name": "body:configuration.name",
               "datastore": "body:configuration.datastore.type",
               "datastore_version": "body:configuration.datastore.version"},
              {"configuration_id": "answer:configuration.id"})),
    Route("PUT", "/configurations/{id}", "configurations:replace", "configuration:update",
          202, None, configurations.REPLACE, fails=_WORK, notify=Notify(
              "configuration_update",
              {**_CONFIGURATION, "name": "body:configuration.name",
               "description": "body:configuration.description"})),
    Route("PATCH", "/configurations/{id}", "configurations:merge", "configuration:edit",
          200, {"type": "null"}, configurations.MERGE, fails=_WORK,
          notify=Notify("configuration_edit", _CONFIGURATION)),
    Route("DELETE", "/configurations/{id}", "configurations:delete", "configuration:delete",
          202, notify=Notify("configuration_delete", _CONFIGURATION)),
    Route("GET", "/configurations/{id}", "configurations:show", "configuration:show", 200,
          answers.CONFIGURATION),
    Route("GET", "/configurations/{id}/instances", "configurations:instances",
          "configuration:instances", 200, answers.CONFIGURATION_INSTANCES, query=_PAGE),
    Route("GET", "/datastores/{datastore}/versions/{id}/parameters",
          "configurations:parameters", "configuration-parameter:index", 200,
          answers.PARAMETERS),
    Route("GET", "/datastores/{datastore}/versions/{id}/parameters/{name}",
          "configurations:parameter", "configuration-parameter:show", 200,
          answers.PARAMETER),
    Route("GET", "/datastores/versions/{id}/parameters", "configurations:parameters",
          "configuration-parameter:index_by_version", 200, answers.PARAMETERS),
    Route("GET", "/datastores/versions/{id}/parameters/{name}",
          "configurations:parameter", "configuration-parameter:show_by_version", 200,
          answers.PARAMETER),
)

#: a notification of the module that the path names
_MODULE = {"module_id": "path:id"}

_MODULES = (
    Route("GET", "/modules", "modules:index", "module:index", 200, answers.MODULES,
          query={**_PAGE, "datastore": _TEXT}, fails=(404,)),
    Route("POST", "/modules", "modules:create", "module:create", 200, answers.MODULE,
          modules.CREATE, fails=(404,), notify=Notify(
              "module_create", {"name": "body:module.name"},
              {"module_id": "answer:module.id"})),
    Route("GET", "/modules/{id}", "modules:show", "module:show", 200, answers.MODULE),
    Route("PUT", "/modules/{id}", "modules:update", "module:update", 200, answers.MODULE,
          modules.UPDATE, fails=(409,), notify=Notify("module_update", _MODULE)),
    Route("PATCH", "/modules/{id}", "modules:update", "module:update", 200, answers.MODULE,
          modules.UPDATE, fails=(409,), notify=Notify("module_update", _MODULE)),
    Route("DELETE", "/modules/{id}", "modules:delete", "module:delete", 200,
          notify=Notify("module_delete", _MODULE)),
    Route("GET", "/modules/{id}/instances", "modules:instances", "module:instances", 200,
          answers.MODULE_INSTANCES,
          query={**_PAGE, "include_clustered": _FLAG, "count_only": _FLAG}),
    Route("PUT", "/modules/{id}/instances", "modules:reapply", "module:reapply", 202, None,
          modules.REAPPLY, fails=(409,)),
    Route("GET", "/datastores/{datastore}/modules", "modules:of_datastore", "module:index",
          200, answers.MODULES, query=_PAGE),
    Route("GET", "/instances/{id}/modules", "instance_modules:index", "instance:module_list",
          200, answers.INSTANCE_MODULES,
          query={"from_guest": _FLAG, "include_contents": _FLAG}, fails=_GUEST),
    Route("POST", "/instances/{id}/modules", "instance_modules:apply",
          "instance:module_apply", 200, answers.INSTANCE_MODULES, modules.APPLY,
          fails=_GUEST, notify=Notify(
              "instance_module_apply",
              {"instance_id": "path:id", "module_id": "each:modules.id"})),
    Route("GET", "/instances/{id}/modules/{module_id}", "instance_modules:retrieve",
          "instance:module_retrieve", 200, answers.MODULE_FILE, fails=_GUEST),
    Route("DELETE", "/instances/{id}/modules/{module_id}", "instance_modules:remove",
          "instance:module_remove", 200, fails=_GUEST, notify=Notify(
              "instance_module_remove",
              {"instance_id": "path:id", "module_id": "path:module_id"})),
)

_PARAMETERS = "/mgmt/datastores/versions/{id}/parameters"

_MANAGEMENT_PARAMETERS = (
    Route("GET", _PARAMETERS, "management_parameters:index",
          "mgmt:configuration-parameter:index", 200, answers.MGMT_PARAMETERS),
    Route("POST", _PARAMETERS, "management_parameters:create",
          "mgmt:configuration-parameter:create", 200, answers.MGMT_PARAMETER,
          configurations.CREATE_PARAMETER, fails=(409,)),
    Route("GET", f"{_PARAMETERS}/{{name}}", "management_parameters:show",
          "mgmt:configuration-parameter:show", 200, answers.MGMT_PARAMETER),
    Route("PUT", f"{_PARAMETERS}/{{name}}", "management_parameters:update",
          "mgmt:configuration-parameter:update", 200, answers.MGMT_PARAMETER,
          configurations.UPDATE_PARAMETER),
    Route("DELETE", f"{_PARAMETERS}/{{name}}", "management_parameters:delete",
          "mgmt:configuration-parameter:delete", 204),
)

_VERSIONS = "/mgmt/datastore-versions"
_CAPABILITIES = "/mgmt/datastores/versions/{id}/capabilities"
_ONE_VERSION = "/mgmt/datastores/{datastore}/versions/{id}"
_MEMBERS = f"{_ONE_VERSION}/members"

_MANAGEMENT_DATASTORES = (
    Route("DELETE", "/datastores/{datastore}", "management_versions:delete_datastore",
          "datastore:delete", 202),
    Route("GET", _VERSIONS, "management_versions:index", "mgmt:datastore-version:index", 200,
          answers.MGMT_VERSIONS, query=_PAGE),
    Route("POST", _VERSIONS, "management_versions:create", "mgmt:datastore-version:create",
          202, answers.NOTHING, datastores.CREATE_VERSION, fails=(404,)),
    Route("GET", f"{_VERSIONS}/{{id}}", "management_versions:show",
          "mgmt:datastore-version:show", 200, answers.MGMT_VERSION),
    Route("PATCH", f"{_VERSIONS}/{{id}}", "management_versions:update",
          "mgmt:datastore-version:update", 202, answers.NOTHING, datastores.UPDATE_VERSION),
    Route("DELETE", f"{_VERSIONS}/{{id}}", "management_versions:delete",
          "mgmt:datastore-version:delete", 202, answers.NOTHING, fails=(409,)),
    Route("GET", "/datastores/{datastore}/versions/{id}/capabilities",
          "capabilities:of_version", "datastore:list_capabilities", 200,
          answers.CAPABILITIES),
    Route("GET", "/datastores/versions/{id}/capabilities", "capabilities:of_version",
          "datastore:list_capabilities", 200, answers.CAPABILITIES),
    Route("GET", "/mgmt/capabilities", "capabilities:index", "mgmt:capability:index", 200,
          answers.CAPABILITIES),
    Route("PUT", "/mgmt/capabilities/{name}", "capabilities:switch",
          "mgmt:capability:update", 200, answers.CAPABILITY, datastores.CAPABILITY),
    Route("GET", _CAPABILITIES, "capabilities:management", "mgmt:capability:index", 200,
          answers.OVERRIDES),
    Route("PUT", f"{_CAPABILITIES}/{{name}}", "capabilities:override",
          "mgmt:capability:update", 200, answers.OVERRIDES, datastores.OVERRIDE),
    Route("DELETE", f"{_CAPABILITIES}/{{name}}", "capabilities:reset",
          "mgmt:capability:update", 200, answers.OVERRIDES),
    Route("POST", _ONE_VERSION, "management_members:set_visibility",
          "mgmt:datastore-version:visibility", 202, None, datastores.VISIBILITY),
    # released clients send this one
    Route("PUT", _ONE_VERSION, "management_members:set_visibility",
          "mgmt:datastore-version:visibility", 202, None, datastores.VISIBILITY),
    Route("GET", _MEMBERS, "management_members:index",
          "mgmt:datastore-version-member:index", 200, answers.MEMBERS),
    Route("POST", _MEMBERS, "management_members:create",
          "mgmt:datastore-version-member:create", 200, answers.MEMBER, datastores.MEMBER,
          fails=(409,)),
    Route("GET", f"{_MEMBERS}/{{member_id}}", "management_members:show",
          "mgmt:datastore-version-member:show", 200, answers.MEMBER),
    Route("DELETE", f"{_MEMBERS}/{{member_id}}", "management_members:delete",
          "mgmt:datastore-version-member:delete", 204),
    Route("GET", "/mgmt/datastores/{datastore}/versions/members/{project_id}",
          "management_members:of_project", "mgmt:datastore-version-member:index", 200,
          answers.MEMBERS),
)

_OPERATION_LIST = {**_PAGE, "resource_id": _TEXT, "status": {
    "type": "string", "enum": ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]},
    "action": _TEXT}

_OPERATIONS = (
    Route("GET", "/operations", "operations:index", "operation:index", 200,
          answers.OPERATIONS, query=_OPERATION_LIST),
    Route("GET", "/operations/{id}", "operations:show", "operation:show", 200,
          answers.OPERATION),
    Route("POST", "/operations/{id}/cancel", "operations:cancel", "operation:cancel", 202,
          request=common.EMPTY, body_optional=True, fails=(409,)),
    Route("GET", "/mgmt/operations", "operations:index_all", "mgmt:operation:index", 200,
          answers.OPERATIONS, query={**_OPERATION_LIST, "project_id": _TEXT}),
)

_LIMITS = (
    Route("GET", "/limits", "limits:index", "limits:index", 200, answers.LIMITS),
    Route("GET", "/mgmt/quotas/{project_id}", "quotas:show", "quota:show", 200,
          answers.QUOTAS),
    Route("PUT", "/mgmt/quotas/{project_id}", "quotas:update", "quota:update", 200,
          answers.QUOTA_LIMITS, quotas.UPDATE),
)

_MANAGEMENT = (
    Route("GET", "/mgmt/instances", "management:index", "mgmt:instance:index", 200,
          answers.INSTANCES, query={**_INSTANCE_LIST, "project_id": _TEXT}),
    Route("GET", "/mgmt/instances/{id}", "management:show", "mgmt:instance:show", 200,
          answers.INSTANCE, query={"deleted": _FLAG}),
    Route("GET", "/mgmt/instances/{id}/root", "management:root", "mgmt:instance:root", 200,
          answers.ROOT_HISTORY),
    Route("GET", "/mgmt/instances/{id}/events", "events:management",
          "mgmt:instance:events", 200, answers.EVENTS, query=_EVENT_LIST),
    Route("GET", "/mgmt/instances/{id}/rpc_ping", "management:rpc_ping",
          "mgmt:instance:rpc_ping", 204),
    Route("GET", "/mgmt/instances/{id}/hwinfo", "management:hwinfo", "mgmt:instance:hwinfo",
          200, answers.HWINFO),
    Route("GET", "/mgmt/instances/{id}/diagnostics", "management:diagnostics",
          "mgmt:instance:diagnostics", 200, answers.DIAGNOSTICS),
    Route("POST", "/mgmt/instances/{id}/action", "management:act", "mgmt:instance:action",
          202, None, instances.MGMT_ACTION, fails=(*_WORK, 501)),
)

_ESTATE = (
    Route("GET", "/mgmt/hosts", "estate:hosts", "mgmt:host:index", 200, answers.HOSTS),
    Route("GET", "/mgmt/hosts/{id}", "estate:host", "mgmt:host:show", 200, answers.HOST),
    Route("GET", "/mgmt/storage", "estate:storage", "mgmt:storage:index", 200,
          answers.DEVICES),
    Route("POST", "/mgmt/flavors", "estate:create_flavor", "mgmt:flavor:create", 200,
          answers.FLAVOR, estate.FLAVOR, fails=(409,)),
    Route("GET", "/mgmt/accounts", "accounts:index", "mgmt:account:index", 200,
          answers.ACCOUNTS, query=_PAGE),
    Route("GET", "/mgmt/accounts/{id}", "accounts:show", "mgmt:account:show", 200,
          answers.ACCOUNT),
)

_SECURITY_GROUPS = (
    Route("GET", "/security-groups", "security_groups:index", "security_group:index", 200,
          answers.SECURITY_GROUPS, query=_PAGE),
    Route("GET", "/security-groups/{id}", "security_groups:show", "security_group:show", 200,
          answers.SECURITY_GROUP),
    Route("POST", "/security-group-rules", "security_groups:create_rule",
          "security_group_rule:create", 202, answers.SECURITY_GROUP_RULES,
          security_groups.RULE, fails=(404, *_WORK)),
    Route("DELETE", "/security-group-rules/{id}", "security_groups:delete_rule",
          "security_group_rule:delete", 202, fails=_WORK),
)

#: clusters cannot be made yet; clients list them nevertheless
_CLUSTERS = (
    Route("GET", "/clusters", "clusters:index", "cluster:index", 200, answers.CLUSTERS,
          query=_PAGE),
    Route("GET", "/mgmt/clusters", "clusters:management", "mgmt:cluster:index", 200,
          answers.CLUSTERS, query={**_PAGE, "deleted": _FLAG}),
)

ROUTES: tuple[Route, ...] = (
    *_INSTANCES, *_DATABASES, *_USERS, *_BACKUPS, *_SCHEDULES, *_DATASTORES,
    *_CONFIGURATIONS, *_MODULES, *_MANAGEMENT_DATASTORES, *_MANAGEMENT_PARAMETERS,
    *_OPERATIONS, *_LIMITS, *_MANAGEMENT, *_ESTATE, *_SECURITY_GROUPS, *_CLUSTERS)
