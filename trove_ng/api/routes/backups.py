"""Routes of backups, where they go, and schedules of them."""

from __future__ import annotations

from trove_ng.api.notified import Notify
from trove_ng.api.routes.base import FLAG, OFFSET, PAGE, TEXT, WORK, Route
from trove_ng.api.schemas import answers, backups, common, schedules

BACKUPS = (
    Route("GET", "/backups", "backups:index", "backup:index", 200, answers.BACKUPS,
          query={**OFFSET, "datastore": TEXT, "instance_id": TEXT, "project_id": TEXT,
                 "all_projects": FLAG}),
    Route("POST", "/backups", "backups:create", "backup:create", 202, answers.BACKUP,
          backups.CREATE, fails=(404, *WORK, 501)),
    Route("GET", "/backups/{id}", "backups:show", "backup:show", 200, answers.BACKUP),
    Route("DELETE", "/backups/{id}", "backups:delete", "backup:delete", 202, fails=WORK),
    Route("POST", "/backups/{id}/action", "backups:act", "backup:verify", 202,
          None, backups.ACTION, fails=WORK),
    Route("GET", "/backup_strategies", "backup_strategies:index", "backup_strategy:index", 200,
          answers.BACKUP_STRATEGIES, query={"instance_id": TEXT, "project_id": TEXT}),
    Route("POST", "/backup_strategies", "backup_strategies:put", "backup_strategy:create", 202,
          answers.BACKUP_STRATEGY, backups.STRATEGY, fails=(404,),
          notify=Notify("backup_strategy_create", {
              "instance_id": "body:backup_strategy.instance_id",
              "swift_container": "body:backup_strategy.swift_container"})),
    Route("DELETE", "/backup_strategies", "backup_strategies:delete",
          "backup_strategy:delete", 202,
          query={"instance_id": TEXT, "project_id": TEXT},
          notify=Notify("backup_strategy_delete", {})),
)

_SCHEDULE = {"schedule_id": "path:id"}
SCHEDULES = (
    Route("GET", "/schedules", "schedules:index", "schedule:index", 200, answers.SCHEDULES,
          query={**PAGE, "instance_id": TEXT}),
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
          answers.EXECUTION, common.EMPTY, body_optional=True, fails=WORK),
    Route("GET", "/schedules/{id}/executions", "schedules:executions",
          "schedule:executions", 200, answers.EXECUTIONS, query=PAGE),
    Route("DELETE", "/schedules/{id}/executions/{execution_id}",
          "schedules:delete_execution", "schedule:delete_execution", 204,
          notify=Notify("schedule_execution_delete", {
              **_SCHEDULE, "execution_id": "path:execution_id"})),
)
