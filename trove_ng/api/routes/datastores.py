"""Routes of datastores, flavors and volume types, and of registering them."""

from __future__ import annotations

from trove_ng.api.notified import Notify
from trove_ng.api.routes.base import PAGE, Route
from trove_ng.api.schemas import answers, datastores

DATASTORES = (
    Route("GET", "/datastores", "datastores:index", "datastore:index", 200,
          answers.DATASTORES, query=PAGE),
    Route("GET", "/datastores/{datastore}", "datastores:show", "datastore:show", 200,
          answers.DATASTORE),
    Route("GET", "/datastores/{datastore}/versions", "datastores:versions",
          "datastore:version_index", 200, answers.VERSIONS, query=PAGE),
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

_VERSIONS = "/mgmt/datastore-versions"
_CAPABILITIES = "/mgmt/datastores/versions/{id}/capabilities"
_ONE_VERSION = "/mgmt/datastores/{datastore}/versions/{id}"
_MEMBERS = f"{_ONE_VERSION}/members"
#: notifications of the version that the path names, and of something of it; below its
#: datastore it may be named in the path by its name
_VERSION = {"datastore_version_id": "path:id"}
_OF_DATASTORE = {**_VERSION, "datastore": "path:datastore"}
_NAMED = {**_VERSION, "name": "path:name"}
_VISIBILITY = Notify("datastore_version_set_visibility", {
    **_OF_DATASTORE, "visibility": "body:datastore_version.visibility"})

REGISTRATION = (
    Route("DELETE", "/datastores/{datastore}", "management_versions:delete_datastore",
          "datastore:delete", 202, notify=Notify(
              "datastore_delete", {"datastore": "path:datastore"})),
    Route("GET", _VERSIONS, "management_versions:index", "mgmt:datastore-version:index", 200,
          answers.MGMT_VERSIONS, query=PAGE),
    Route("POST", _VERSIONS, "management_versions:create", "mgmt:datastore-version:create",
          202, answers.NOTHING, datastores.CREATE_VERSION, fails=(404,),
          notify=Notify("datastore_version_create", {
              "name": "body:version.name",
              "datastore": "body:version.datastore_name|body:version.datastore"})),
    Route("GET", f"{_VERSIONS}/{{id}}", "management_versions:show",
          "mgmt:datastore-version:show", 200, answers.MGMT_VERSION),
    Route("PATCH", f"{_VERSIONS}/{{id}}", "management_versions:update",
          "mgmt:datastore-version:update", 202, answers.NOTHING, datastores.UPDATE_VERSION,
          notify=Notify("datastore_version_update", _VERSION)),
    Route("DELETE", f"{_VERSIONS}/{{id}}", "management_versions:delete",
          "mgmt:datastore-version:delete", 202, answers.NOTHING, fails=(409,),
          notify=Notify("datastore_version_delete", _VERSION)),
    Route("GET", "/datastores/{datastore}/versions/{id}/capabilities",
          "capabilities:of_version", "datastore:list_capabilities", 200,
          answers.CAPABILITIES),
    Route("GET", "/datastores/versions/{id}/capabilities", "capabilities:of_version",
          "datastore:list_capabilities", 200, answers.CAPABILITIES),
    Route("GET", "/mgmt/capabilities", "capabilities:index", "mgmt:capability:index", 200,
          answers.SWITCHES),
    Route("PUT", "/mgmt/capabilities/{name}", "capabilities:switch",
          "mgmt:capability:update", 200, answers.CAPABILITY, datastores.CAPABILITY,
          notify=Notify("capability_update", {"name": "path:name"})),
    Route("GET", _CAPABILITIES, "capabilities:management", "mgmt:capability:index", 200,
          answers.OVERRIDES),
    Route("PUT", f"{_CAPABILITIES}/{{name}}", "capabilities:override",
          "mgmt:capability:update", 200, answers.OVERRIDES, datastores.OVERRIDE,
          notify=Notify("capability_override", _NAMED)),
    Route("DELETE", f"{_CAPABILITIES}/{{name}}", "capabilities:reset",
          "mgmt:capability:update", 200, answers.OVERRIDES,
          notify=Notify("capability_reset", _NAMED)),
    Route("POST", _ONE_VERSION, "management_members:set_visibility",
          "mgmt:datastore-version:visibility", 202, None, datastores.VISIBILITY,
          notify=_VISIBILITY),
    # released clients send this one
    Route("PUT", _ONE_VERSION, "management_members:set_visibility",
          "mgmt:datastore-version:visibility", 202, None, datastores.VISIBILITY,
          notify=_VISIBILITY),
    Route("GET", _MEMBERS, "management_members:index",
          "mgmt:datastore-version-member:index", 200, answers.MEMBERS),
    Route("POST", _MEMBERS, "management_members:create",
          "mgmt:datastore-version-member:create", 200, answers.MEMBER, datastores.MEMBER,
          fails=(409,), notify=Notify("datastore_version_member_create", {
              **_OF_DATASTORE, "member": "body:member"})),
    Route("GET", f"{_MEMBERS}/{{member_id}}", "management_members:show",
          "mgmt:datastore-version-member:show", 200, answers.MEMBER),
    Route("DELETE", f"{_MEMBERS}/{{member_id}}", "management_members:delete",
          "mgmt:datastore-version-member:delete", 204, notify=Notify(
              "datastore_version_member_delete", {
                  **_OF_DATASTORE, "member_id": "path:member_id"})),
    Route("GET", "/mgmt/datastores/{datastore}/versions/members/{project_id}",
          "management_members:of_project", "mgmt:datastore-version-member:index", 200,
          answers.MEMBERS),
)
