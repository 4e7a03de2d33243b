"""Routes of configuration groups, and of the parameters that they may set."""

from __future__ import annotations

from trove_ng.api.notified import Notify
from trove_ng.api.routes.base import PAGE, WORK, Route
from trove_ng.api.schemas import answers, configurations

CONFIGURATIONS = (
    Route("GET", "/configurations", "configurations:index", "configuration:index", 200,
          answers.CONFIGURATIONS, query=PAGE),
    Route("POST", "/configurations", "configurations:create", "configuration:create", 200,
          answers.CONFIGURATION, configurations.CREATE, fails=(404, 422)),
    Route("PUT", "/configurations/{id}", "configurations:replace", "configuration:update",
          202, None, configurations.REPLACE, fails=WORK),
    Route("PATCH", "/configurations/{id}", "configurations:merge", "configuration:edit",
          200, {"type": "null"}, configurations.MERGE, fails=WORK),
    Route("DELETE", "/configurations/{id}", "configurations:delete", "configuration:delete",
          202, notify=Notify(
              "configuration_delete", {"configuration_id": "path:id"})),
    Route("GET", "/configurations/{id}", "configurations:show", "configuration:show", 200,
          answers.CONFIGURATION),
    Route("GET", "/configurations/{id}/instances", "configurations:instances",
          "configuration:instances", 200, answers.CONFIGURATION_INSTANCES, query=PAGE),
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

#: a notification of the parameter that the path names
_PARAMETER = {"datastore_version_id": "path:id", "name": "path:name"}
_PARAMETERS = "/mgmt/datastores/versions/{id}/parameters"

PARAMETERS = (
    Route("GET", _PARAMETERS, "management_parameters:index",
          "mgmt:configuration-parameter:index", 200, answers.MGMT_PARAMETERS),
    Route("POST", _PARAMETERS, "management_parameters:create",
          "mgmt:configuration-parameter:create", 200, answers.MGMT_PARAMETER,
          configurations.CREATE_PARAMETER, fails=(409,),
          notify=Notify("configuration_parameter_create", {
              **_PARAMETER, "name": "body:configuration-parameter.name"})),
    Route("GET", f"{_PARAMETERS}/{{name}}", "management_parameters:show",
          "mgmt:configuration-parameter:show", 200, answers.MGMT_PARAMETER),
    Route("PUT", f"{_PARAMETERS}/{{name}}", "management_parameters:update",
          "mgmt:configuration-parameter:update", 200, answers.MGMT_PARAMETER,
          configurations.UPDATE_PARAMETER,
          notify=Notify("configuration_parameter_update", _PARAMETER)),
    Route("DELETE", f"{_PARAMETERS}/{{name}}", "management_parameters:delete",
          "mgmt:configuration-parameter:delete", 204,
          notify=Notify("configuration_parameter_delete", _PARAMETER)),
)
