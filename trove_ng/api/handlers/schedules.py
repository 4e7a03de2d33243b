"""Schedules of backups, and their executions."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views import schedules as views
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotFound, QuotaExceeded
from trove_ng.common.states import ExecutionState
from trove_ng.datastores import base as engines
from trove_ng.db.models import Schedule
from trove_ng.db.repositories import instances, schedules
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain import cron
from trove_ng.operations.schedules import Schedules

#: what a request may set, as the columns are called
_PLAIN = ("name", "description", "full_every", "keep_count", "keep_days", "paused", "parent_id")


def index(call: Call) -> dict[str, Any]:
    """List the schedules of the project, or of one of its instances."""
    with call.services.db.reader() as session:
        rows = schedules.page(
            session, tenant_id=call.context.project_id, limit=call.limit(),
            marker=call.marker(), instance_id=call.query.get("instance_id") or None)
        return call.listed("schedules", rows, views.view)


def show(call: Call) -> dict[str, Any]:
    """Show a schedule."""
    with call.services.db.reader() as session:
        return {"schedule": views.view(_load(session, call))}


@retry_on_db_error
def create(call: Call) -> dict[str, Any]:
    """Make backups of an instance by a pattern from now on."""
    body, now = call.body["schedule"], call.services.clock.now()
    zone = body.get("time_zone", "UTC")
    pattern = cron.check(body["pattern"], zone, now)
    with call.services.db.writer() as session:
        found = instances.get_with_status(session, body["instance"], call.owner)
        if found is None:
            raise NotFound.of("Instance", body["instance"])
        instance, manager = found[0], found[3]
        call.authorize_owner(instance.tenant_id)
        if not effective_versions.engine(
                session, instance.datastore_version_id, manager).capabilities.backups:
            raise BadRequest("Validation error: schedule.instance: the datastore does not offer "
                             "backups.")
        verify = _verification(call, zone)
        most = call.services.conf.max_schedules_per_instance
        if schedules.count(session, instance.id) >= most:
            raise QuotaExceeded(f"An instance has at most {most} schedules.")
        made = schedules.add(session, Schedule(
            tenant_id=instance.tenant_id, user_id=call.context.user_id,
            instance_id=instance.id, pattern=pattern, time_zone=zone, created=now, updated=now,
            next_run_at=None if body.get("paused") else cron.following(pattern, zone, now),
            verify=verify, next_verify_at=_next_verification(verify, zone, now),
            **{name: body[name] for name in _PLAIN if name in body}))
        answer = {"schedule": views.view(made)}
        call.keep(session, answer, None)
    return answer


@retry_on_db_error
def update(call: Call) -> dict[str, Any]:
    """Change a schedule; what was due while it was paused is not made good."""
    body, now = call.body["schedule"], call.services.clock.now()
    with call.services.db.writer() as session:
        row = _load(session, call, lock=True)
        for name in _PLAIN:
            if name in body:
                setattr(row, name, body[name])
        if body.keys() & {"pattern", "time_zone", "paused"}:
            zone = body.get("time_zone", row.time_zone)
            row.pattern, row.time_zone = cron.check(
                body.get("pattern", row.pattern), zone, now), zone
            row.next_run_at = None if row.paused else cron.following(row.pattern, zone, now)
            schedules.give_up_waiting(session, row.id, now)
        if "verify" in body:
            row.verify, row.unverified = _verification(call, row.time_zone), 0
        if body.keys() & {"verify", "time_zone", "paused"}:
            row.next_verify_at = _next_verification(row.verify, row.time_zone, now)
        row.updated = now
        session.flush()
        return {"schedule": views.view(row)}


@retry_on_db_error
def delete(call: Call) -> None:
    """Delete a schedule with what is known of its executions; its backups stay."""
    with call.services.db.writer() as session:
        schedules.drop(session, _load(session, call, lock=True), call.services.clock.now())


@retry_on_db_error
def run(call: Call) -> dict[str, Any]:
    """Make a backup of the schedule now, paused or not."""
    services, now = call.services, call.services.clock.now()
    works = Schedules(services.conf, services.requests, engines.load_datastores())
    with services.db.writer() as session:
        row = _load(session, call, lock=True)
        backup, accepted = works.begin(session, row, call.context, now)
        execution = schedules.add_execution(
            session, row.id, now, ExecutionState.RUNNING, backup_id=backup.id)
        answer = {"execution": views.execution(execution)}
        call.keep(session, answer, accepted.id)
    wake(call, accepted.id)
    return answer


def executions(call: Call) -> dict[str, Any]:
    """List the executions of a schedule, the newest first."""
    limit, marker = call.limit(), call.marker()
    with call.services.db.reader() as session:
        row = _load(session, call)
        rows = schedules.page_of_executions(session, row.id, limit=limit, marker=marker)
        return call.listed("executions", rows, views.execution)


@retry_on_db_error
def delete_execution(call: Call) -> None:
    """Forget an execution; its backup stays."""
    ident = call.params["execution_id"]
    with call.services.db.writer() as session:
        row = _load(session, call)
        if not schedules.drop_execution(session, row.id, ident):
            raise NotFound.of("Execution", ident)


def _verification(call: Call, zone: str) -> dict[str, Any] | None:
    """Return what the body says of verifications, as it is stored."""
    wanted: dict[str, Any] | None = call.body["schedule"].get("verify")
    if wanted is None:
        return None
    call.authorize("backup:verify")
    if "pattern" in wanted:
        return {"pattern": cron.check(wanted["pattern"], zone, call.services.clock.now())}
    return wanted


def _next_verification(verify: dict[str, Any] | None, zone: str, now: datetime.datetime,
                       ) -> datetime.datetime | None:
    pattern = (verify or {}).get("pattern")
    return None if pattern is None else cron.following(pattern, zone, now)


def _load(session: Session, call: Call, *, lock: bool = False) -> Schedule:
    ident = call.params["id"]
    return call.own("Schedule", ident, schedules.get(session, ident, call.owner, lock=lock))
