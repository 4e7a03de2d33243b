"""Routes of modules, and of those that instances have."""

from __future__ import annotations

from trove_ng.api.notified import Notify
from trove_ng.api.routes.base import FLAG, GUEST, PAGE, TEXT, Route
from trove_ng.api.schemas import answers, modules

#: a notification of the module that the path names
_MODULE = {"module_id": "path:id"}

MODULES = (
    Route("GET", "/modules", "modules:index", "module:index", 200, answers.MODULES,
          query={**PAGE, "datastore": TEXT}, fails=(404,)),
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
          query={**PAGE, "include_clustered": FLAG, "count_only": FLAG}),
    Route("PUT", "/modules/{id}/instances", "modules:reapply", "module:reapply", 202, None,
          modules.REAPPLY, fails=(409,)),
    Route("GET", "/datastores/{datastore}/modules", "modules:of_datastore", "module:index",
          200, answers.MODULES, query=PAGE),
    Route("GET", "/instances/{id}/modules", "instance_modules:index", "instance:module_list",
          200, answers.INSTANCE_MODULES,
          query={"from_guest": FLAG, "include_contents": FLAG}, fails=GUEST),
    Route("POST", "/instances/{id}/modules", "instance_modules:apply",
          "instance:module_apply", 200, answers.INSTANCE_MODULES, modules.APPLY,
          fails=GUEST, notify=Notify(
              "instance_module_apply",
              {"instance_id": "path:id", "module_id": "each:modules.id"})),
    Route("GET", "/instances/{id}/modules/{module_id}", "instance_modules:retrieve",
          "instance:module_retrieve", 200, answers.MODULE_FILE, fails=GUEST),
    Route("DELETE", "/instances/{id}/modules/{module_id}", "instance_modules:remove",
          "instance:module_remove", 200, fails=GUEST, notify=Notify(
              "instance_module_remove",
              {"instance_id": "path:id", "module_id": "path:module_id"})),
)
