"""Routes of operations, limits and access, and of what operators see and do."""

from __future__ import annotations

from typing import Any

from trove_ng.api.notified import Notify
from trove_ng.api.routes.base import EVENT_LIST, FLAG, INSTANCE_LIST, PAGE, TEXT, WORK, Route
from trove_ng.api.schemas import answers, common, estate, instances, quotas, security_groups

_OPERATION_LIST = {**PAGE, "resource_id": TEXT, "status": {
    "type": "string", "enum": ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]},
    "action": TEXT}
_REGION: dict[str, dict[str, Any]] = {"region": {"type": "string", "maxLength": 255}}

OPERATIONS = (
    Route("GET", "/operations", "operations:index", "operation:index", 200,
          answers.OPERATIONS, query=_OPERATION_LIST),
    Route("GET", "/operations/{id}", "operations:show", "operation:show", 200,
          answers.OPERATION),
    Route("POST", "/operations/{id}/cancel", "operations:cancel", "operation:cancel", 202,
          request=common.EMPTY, body_optional=True, fails=(409,)),
    Route("GET", "/mgmt/operations", "operations:index_all", "mgmt:operation:index", 200,
          answers.OPERATIONS, query={**_OPERATION_LIST, "project_id": TEXT}),
)

LIMITS = (
    Route("GET", "/limits", "limits:index", "limits:index", 200, answers.LIMITS),
    Route("GET", "/mgmt/quotas/{project_id}", "quotas:show", "quota:show", 200,
          answers.QUOTAS),
    Route("PUT", "/mgmt/quotas/{project_id}", "quotas:update", "quota:update", 200,
          answers.QUOTA_LIMITS, quotas.UPDATE, notify=Notify(
              "quota_update", {"project_id": "path:project_id"})),
)

MANAGEMENT = (
    Route("GET", "/mgmt/instances", "management:index", "mgmt:instance:index", 200,
          answers.INSTANCES, query={**INSTANCE_LIST, "project_id": TEXT}),
    Route("GET", "/mgmt/instances/{id}", "management:show", "mgmt:instance:show", 200,
          answers.INSTANCE, query={"deleted": FLAG}),
    Route("GET", "/mgmt/instances/{id}/root", "management:root", "mgmt:instance:root", 200,
          answers.ROOT_HISTORY),
    Route("GET", "/mgmt/instances/{id}/events", "events:management",
          "mgmt:instance:events", 200, answers.EVENTS, query=EVENT_LIST),
    Route("GET", "/mgmt/instances/{id}/rpc_ping", "management:rpc_ping",
          "mgmt:instance:rpc_ping", 204),
    Route("GET", "/mgmt/instances/{id}/hwinfo", "management:hwinfo", "mgmt:instance:hwinfo",
          200, answers.HWINFO),
    Route("GET", "/mgmt/instances/{id}/diagnostics", "management:diagnostics",
          "mgmt:instance:diagnostics", 200, answers.DIAGNOSTICS),
    Route("POST", "/mgmt/instances/{id}/action", "management:act", "mgmt:instance:action",
          202, None, instances.MGMT_ACTION, fails=(*WORK, 501)),
    Route("POST", "/mgmt/instances/{id}/upgrade", "management:upgrade",
          "mgmt:instance:upgrade_agent", 202, None, instances.UPGRADE_AGENT, fails=WORK),
)

ESTATE = (
    Route("GET", "/mgmt/hosts", "estate:hosts", "mgmt:host:index", 200, answers.HOSTS,
          query=_REGION),
    Route("GET", "/mgmt/hosts/{id}", "estate:host", "mgmt:host:show", 200, answers.HOST,
          query=_REGION),
    Route("POST", "/mgmt/hosts/{id}/instances/action", "estate:act", "mgmt:host:action", 202,
          answers.HOST_ACTION, estate.HOST_ACTION, query=_REGION, fails=WORK),
    Route("GET", "/mgmt/storage", "estate:storage", "mgmt:storage:index", 200,
          answers.DEVICES, query=_REGION),
    Route("POST", "/mgmt/flavors", "estate:create_flavor", "mgmt:flavor:create", 200,
          answers.FLAVOR, estate.FLAVOR, fails=(409,), notify=Notify(
              "flavor_create", {"name": "body:flavor.name"})),
    Route("GET", "/mgmt/accounts", "accounts:index", "mgmt:account:index", 200,
          answers.ACCOUNTS, query=PAGE),
    Route("GET", "/mgmt/accounts/{id}", "accounts:show", "mgmt:account:show", 200,
          answers.ACCOUNT),
)

SECURITY_GROUPS = (
    Route("GET", "/security-groups", "security_groups:index", "security_group:index", 200,
          answers.SECURITY_GROUPS, query=PAGE),
    Route("GET", "/security-groups/{id}", "security_groups:show", "security_group:show", 200,
          answers.SECURITY_GROUP),
    Route("POST", "/security-group-rules", "security_groups:create_rule",
          "security_group_rule:create", 202, answers.SECURITY_GROUP_RULES,
          security_groups.RULE, fails=(404, *WORK)),
    Route("DELETE", "/security-group-rules/{id}", "security_groups:delete_rule",
          "security_group_rule:delete", 202, fails=WORK),
)

#: clusters cannot be made yet; clients list them nevertheless
CLUSTERS = (
    Route("GET", "/clusters", "clusters:index", "cluster:index", 200, answers.CLUSTERS,
          query=PAGE),
    Route("GET", "/mgmt/clusters", "clusters:management", "mgmt:cluster:index", 200,
          answers.CLUSTERS, query={**PAGE, "deleted": FLAG}),
)
