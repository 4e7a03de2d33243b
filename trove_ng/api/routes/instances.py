"""Routes of instances, and of what is inside their databases."""

from __future__ import annotations

from trove_ng.api.notified import Notify
from trove_ng.api.routes.base import (
    EVENT_LIST,
    FLAG,
    GUEST,
    INSTANCE_LIST,
    OFFSET,
    PAGE,
    WORK,
    Route,
)
from trove_ng.api.schemas import answers, guest_logs, instances, metadata, tls, users

_METADATUM = {"instance_id": "path:id", "key": "path:key"}
_METADATA = Notify("instance_metadata_update", _METADATUM)

INSTANCES = (
    Route("GET", "/instances", "instances:index", "instance:index", 200,
          answers.INSTANCES, query=INSTANCE_LIST),
    Route("GET", "/instances/detail", "instances:detail", "instance:detail", 200,
          answers.INSTANCES, query=INSTANCE_LIST),
    Route("POST", "/instances", "create_instance:create", "instance:create", 200,
          answers.INSTANCE, instances.CREATE, fails=(404, 501)),
    Route("GET", "/instances/{id}", "instances:show", "instance:show", 200,
          answers.INSTANCE),
    Route("PUT", "/instances/{id}", "instances:update", "instance:update", 202,
          None, instances.UPDATE, fails=(*WORK, 501)),
    Route("PATCH", "/instances/{id}", "instances:update", "instance:edit", 202,
          None, instances.UPDATE, fails=(*WORK, 501)),
    Route("DELETE", "/instances/{id}", "instances:delete", "instance:delete", 202,
          fails=WORK),
    # The action's own rule is asked by the handler.
    Route("POST", "/instances/{id}/action", "instance_actions:act", "instance:show", 202,
          None, instances.ACTION, fails=(*WORK, 501)),
    Route("GET", "/instances/{id}/configuration", "instances:configuration",
          "instance:configuration", 200, answers.INSTANCE_CONFIGURATION),
    Route("GET", "/instances/{id}/backups", "backups:of_instance", "instance:backups", 200,
          answers.BACKUPS, query=OFFSET),
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
    Route("GET", "/instances/{id}/ssl", "ssl:show", "instance:ssl:show", 200, answers.SSL,
          query={"include_certificate": FLAG}),
    Route("POST", "/instances/{id}/ssl", "ssl:update", "instance:ssl:update", 200,
          answers.SSL, tls.UPDATE, fails=(*WORK, 501)),
    Route("GET", "/instances/{id}/events", "events:index", "instance:events", 200,
          answers.EVENTS, query=EVENT_LIST),
    Route("GET", "/instances/{id}/log", "guest_logs:index", "instance:guest_log_list", 200,
          answers.LOGS, fails=GUEST),
    # What changes something asks instance:guest_log_action too.
    Route("POST", "/instances/{id}/log", "guest_logs:act", "instance:guest_log_show", 200,
          answers.LOG, guest_logs.ACTION, fails=GUEST, notify=Notify(
              "instance_log", {"instance_id": "path:id", "log": "body:name"},
              changes=guest_logs.ACTIONS)),
)

DATABASES = (
    Route("GET", "/instances/{id}/databases", "databases:index",
          "instance:extension:database:index", 200, answers.DATABASES, query=PAGE, fails=GUEST),
    Route("POST", "/instances/{id}/databases", "databases:create",
          "instance:extension:database:create", 202, None, users.DATABASES, fails=GUEST,
          notify=Notify("database_create", {
              "instance_id": "path:id", "dbname": "each:databases.name"})),
    Route("GET", "/instances/{id}/databases/{database}", "databases:show",
          "instance:extension:database:show", 200, answers.DATABASE, fails=GUEST),
    Route("DELETE", "/instances/{id}/databases/{database}", "databases:delete",
          "instance:extension:database:delete", 202, fails=GUEST,
          notify=Notify("database_delete", {
              "instance_id": "path:id", "dbname": "path:database"})),
)

USERS = (
    Route("GET", "/instances/{id}/users", "users:index",
          "instance:extension:user:index", 200, answers.USERS, query=PAGE, fails=GUEST),
    Route("POST", "/instances/{id}/users", "users:create",
          "instance:extension:user:create", 202, None, users.USERS, fails=GUEST,
          notify=Notify("user_create", {
              "instance_id": "path:id", "username": "each:users.name"})),
    Route("PUT", "/instances/{id}/users", "users:change_passwords",
          "instance:extension:user:update_all", 202, None, users.PASSWORDS, fails=GUEST,
          notify=Notify("user_change_password", {
              "instance_id": "path:id", "username": "each:users.name"})),
    Route("GET", "/instances/{id}/users/{user}", "users:show",
          "instance:extension:user:show", 200, answers.USER, fails=GUEST),
    Route("PUT", "/instances/{id}/users/{user}", "users:update",
          "instance:extension:user:update", 202, None, users.USER_UPDATE, fails=GUEST,
          notify=Notify("user_update_attributes", {
              "instance_id": "path:id", "username": "path:user"})),
    Route("DELETE", "/instances/{id}/users/{user}", "users:delete",
          "instance:extension:user:delete", 202, fails=GUEST,
          notify=Notify("user_delete", {
              "instance_id": "path:id", "username": "path:user"})),
    Route("GET", "/instances/{id}/users/{user}/databases", "users:list_access",
          "instance:extension:user_access:index", 200, answers.DATABASES, fails=GUEST),
    Route("PUT", "/instances/{id}/users/{user}/databases", "users:grant_access",
          "instance:extension:user_access:update", 202, None, users.GRANT, fails=GUEST,
          notify=Notify("user_grant", {
              "instance_id": "path:id", "username": "path:user",
              "database": "each:databases.name"})),
    Route("DELETE", "/instances/{id}/users/{user}/databases/{database}",
          "users:revoke_access", "instance:extension:user_access:delete", 202, fails=GUEST,
          notify=Notify("user_revoke", {
              "instance_id": "path:id", "username": "path:user",
              "database": "path:database"})),
    Route("GET", "/instances/{id}/root", "root:show",
          "instance:extension:root:index", 200, answers.ROOT_ENABLED),
    Route("POST", "/instances/{id}/root", "root:enable",
          "instance:extension:root:create", 200, answers.ROOT_USER, users.ROOT,
          body_optional=True, fails=GUEST,
          notify=Notify("root_enable", {"instance_id": "path:id"})),
    Route("DELETE", "/instances/{id}/root", "root:disable",
          "instance:extension:root:delete", 204, partly=answers.ROOT_DISABLED, fails=GUEST,
          notify=Notify("root_disable", {"instance_id": "path:id"})),
)
