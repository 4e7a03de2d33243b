"""What the services measure, and the way to tell it.

Whoever has something to tell is passed a :class:`Recorder`.  This module knows of no
library: a guest agent uses it too, and its recorder keeps nothing.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

API = "trove-api"
TASKMANAGER = "trove-taskmanager"
CONDUCTOR = "trove-conductor"
SERVICES = (API, TASKMANAGER, CONDUCTOR)

#: limits of the histograms' buckets, seconds
_REQUEST = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_STEP = (0.05, 0.25, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_OPERATION = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


class Kind(enum.StrEnum):
    """What Prometheus calls the kinds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Definition:
    """One metric.

    :param name: as Prometheus shows it, with unit and ``_total``
    :param services: the services that have it
    :param labels: label → its values; none are listed where they are names from the code
        or the operator's own, and so few by nature
    :param buckets: upper limits of a histogram, seconds
    """

    name: str
    kind: Kind
    help: str
    services: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    buckets: tuple[float, ...] = ()


REQUESTS = Definition(
    name="trove_api_request_duration_seconds", kind=Kind.HISTOGRAM, services=(API,),
    help="Time until the answer to a request was made. The route is its template in the "
         "API, 'public' for documents without a token, or 'none'.",
    labels={"method": (), "route": (), "status": ()}, buckets=_REQUEST)

RATE_LIMITED = Definition(
    name="trove_api_rate_limited_requests_total", kind=Kind.COUNTER, services=(API,),
    help="Requests that were refused because their project sent too many.",
    labels={"limit": ("GET", "POST", "PUT", "DELETE", "MGMT_POST")})

OPERATION_TIME = Definition(
    name="trove_operation_duration_seconds", kind=Kind.HISTOGRAM,
    services=(API, TASKMANAGER),
    help="Time from the acceptance of an operation to its end. The API tells those that it "
         "ends itself: a delete by force, or an operator, takes their place.",
    labels={"action": (), "status": ()}, buckets=_OPERATION)

STEP_TIME = Definition(
    name="trove_operation_step_duration_seconds", kind=Kind.HISTOGRAM,
    services=(TASKMANAGER,),
    help="Time that a step of an operation took. 'abandoned': the worker had to leave it to "
         "another one; 'waits': it looked at other operations that it waits for, and looks "
         "again; 'undone' and 'undo_failed' are of the way back.",
    labels={"action": (), "step": (), "outcome": ()}, buckets=_STEP)

STEP_RETRIES = Definition(
    name="trove_operation_step_retries_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="Steps that were tried again because a service of the cloud did not answer.",
    labels={"action": (), "step": ()})

CLAIMS = Definition(
    name="trove_operations_claimed_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="Operations that this taskmanager began ('first'), or went on with after another "
         "worker, or itself, had left them ('takeover').",
    labels={"action": (), "claim": ()})

ABANDONED = Definition(
    name="trove_operations_abandoned_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="Operations that this taskmanager left before their end: its lease was taken by "
         "another worker or by a delete ('lease_lost'), could not be prolonged in time "
         "('lease_expired'), the store did not answer ('store_away'), or it was stopped "
         "('shutdown').",
    labels={"reason": ("lease_lost", "lease_expired", "store_away", "shutdown")})

REFUSED = Definition(
    name="trove_rpc_messages_refused_total", kind=Kind.COUNTER, services=SERVICES,
    help="Messages on the bus that were not acted on.",
    labels={"message": ("request", "answer"),
            "reason": ("undecodable", "plaintext", "version", "oversized", "misdirected",
                       "sender", "unknown-key", "forged", "malformed", "stale", "replayed",
                       "flooded", "answer", "unavailable")})

GUEST_REFUSED = Definition(
    name="trove_guest_messages_refused_total", kind=Kind.COUNTER, services=(CONDUCTOR,),
    help="Messages that guests did not act on, as they tell in heartbeats, at most 1000 of a "
         "reason in one; those that a lost heartbeat tells of are not counted.",
    labels={"reason": REFUSED.labels["reason"]})

BEATS_RECEIVED = Definition(
    name="trove_heartbeats_received_total", kind=Kind.COUNTER, services=(CONDUCTOR,),
    help="Heartbeats of guests that came in.")

BEATS = Definition(
    name="trove_heartbeats_handled_total", kind=Kind.COUNTER, services=(CONDUCTOR,),
    help="What became of heartbeats: written; stale (older than one known, or of an "
         "instance that is gone); superseded by a newer one before they were written; lost "
         "because the store failed.",
    labels={"outcome": ("written", "stale", "superseded", "lost")})

REPORTS = Definition(
    name="trove_guest_step_reports_total", kind=Kind.COUNTER, services=(CONDUCTOR,),
    help="Reports of guests on steps of operations. 'passed_over': out of order, or of an "
         "operation that has ended.",
    labels={"outcome": ("counted", "passed_over")})

CLOUD_CALLS = Definition(
    name="trove_cloud_call_duration_seconds", kind=Kind.HISTOGRAM,
    services=(API, TASKMANAGER),
    help="Calls to the services of the cloud, each try for itself. The operation is the "
         "client library's or our own function.",
    labels={"region": (), "service": (), "operation": (), "outcome": ()}, buckets=_REQUEST)

STORE_ERRORS = Definition(
    name="trove_store_errors_total", kind=Kind.COUNTER, services=SERVICES,
    help="Errors of the store. 'duplicate' is what settles most races and no fault.",
    labels={"kind": ("deadlock", "disconnect", "duplicate", "other")})

STORE_RETRIES = Definition(
    name="trove_store_retries_total", kind=Kind.COUNTER, services=SERVICES,
    help="Transactions that failed by a deadlock or a lost connection and are begun again, "
         "for five seconds, ten times at most.",
    labels={"kind": ("deadlock", "disconnect")})

NOTIFICATIONS = Definition(
    name="trove_notifications_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="What became of notifications: sent; a try to send that failed and is made again; "
         "dropped because too many waited, or the one could not be sent and others could.",
    labels={"outcome": ("sent", "failed", "dropped")})

FAILOVERS = Definition(
    name="trove_failovers_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="Lost sources of replicas whose owners want another one by itself: a failover was "
         "begun, or refused and that was told. How it ended is that of the operation.",
    labels={"outcome": ("begun", "refused")})

RECONCILIATIONS = Definition(
    name="trove_reconciliations_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="Comparisons of the store with the cloud. incomplete: a service did not answer, or "
         "another process went on.",
    labels={"outcome": ("done", "incomplete")})

FINDINGS = Definition(
    name="trove_reconciliation_findings_total", kind=Kind.COUNTER, services=(TASKMANAGER,),
    help="What comparisons of the store with the cloud found; what stays counts once for each "
         "process that finds it. reported: it needs a person.",
    labels={"kind": (), "outcome": ("repaired", "not repaired", "reported")})

BUILD = Definition(
    name="trove_build_info", kind=Kind.GAUGE, services=SERVICES,
    help="1; the labels say what runs.", labels={"service": (), "version": ()})

STORE_UP = Definition(
    name="trove_store_up", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="1 if the store answered for this scrape, else 0 and all that is read from it is "
         "absent.")

OPERATIONS = Definition(
    name="trove_operations", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Operations that have not ended, in the store.",
    labels={"action": (), "status": ()})

OLDEST_OPERATION = Definition(
    name="trove_operation_oldest_age_seconds", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Age of the oldest operation that has not ended.", labels={"action": ()})

INSTANCES = Definition(
    name="trove_instances", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Instances by the status that the API shows.", labels={"status": ()})

SILENT_INSTANCES = Definition(
    name="trove_instances_heartbeat_expired", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Instances that nothing is done with and whose agent was not heard of within "
         "agent_heartbeat_expiry.")

OLDEST_BEAT = Definition(
    name="trove_instance_heartbeat_oldest_age_seconds", kind=Kind.GAUGE,
    services=(TASKMANAGER,),
    help="Age of the oldest newest heartbeat of instances that nothing is done with.")

BACKUPS = Definition(
    name="trove_backups", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Backups that are not deleted, by state.", labels={"state": ()})

NEWEST_BACKUP = Definition(
    name="trove_backup_newest_completed_age_seconds", kind=Kind.GAUGE,
    services=(TASKMANAGER,),
    help="Time since the newest backup of a datastore was completed; absent when there is "
         "none.", labels={"datastore": ()})

NEWEST_VERIFICATION = Definition(
    name="trove_backup_newest_verified_age_seconds", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Time since a backup of a datastore was last restored and found to be good; absent "
         "when none was.", labels={"datastore": ()})

SOONEST_EXPIRY = Definition(
    name="trove_certificate_soonest_expiry_seconds", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Time until the first of the certificates of databases ends, negative when it has; "
         "absent when there is none. 'service': the service issued it, and renews it; 'owner': "
         "it is of an owner's key manager.", labels={"issuer": ("service", "owner")})

OLDEST_LOG = Definition(
    name="trove_log_archive_oldest_age_seconds", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Of instances whose log is archived, the longest time since the latest moment that one "
         "can be restored to, or since that was switched on; absent when there is none.")

STALEST_SCHEDULE = Definition(
    name="trove_scheduled_backup_oldest_age_seconds", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Of instances with a schedule that is not paused, the longest time since the newest "
         "completed backup, or since the first of the schedules was made; absent when there is "
         "none.")

FAILING_LOGS = Definition(
    name="trove_log_archives_failing", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Instances whose log is to be archived and was not at the last attempt.")

DAMAGED_LOGS = Definition(
    name="trove_log_archives_damaged", kind=Kind.GAUGE, services=(TASKMANAGER,),
    help="Instances of whose archived log a part is missing, or not what was stored, as the "
         "last verification of a backup found.")

#: all of ours; each service has its process_* metrics too
DEFINITIONS: Final = (
    REQUESTS, RATE_LIMITED, OPERATION_TIME, STEP_TIME, STEP_RETRIES, CLAIMS, ABANDONED,
    OPERATIONS, OLDEST_OPERATION, INSTANCES, SILENT_INSTANCES, OLDEST_BEAT, BACKUPS,
    NEWEST_BACKUP, STALEST_SCHEDULE, NEWEST_VERIFICATION, SOONEST_EXPIRY, OLDEST_LOG, FAILING_LOGS,
    DAMAGED_LOGS, BEATS_RECEIVED, BEATS, REPORTS, REFUSED, GUEST_REFUSED, CLOUD_CALLS,
    STORE_ERRORS, STORE_RETRIES, STORE_UP, NOTIFICATIONS, FAILOVERS, RECONCILIATIONS, FINDINGS,
    BUILD)


class Recorder:
    """Takes what is measured; this one keeps nothing.

    Durations are seconds.  No method raises, and none waits.
    """

    def api_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Take an answered request."""

    def api_rate_limited(self, limit: str) -> None:
        """Take a request that a rate limit refused."""

    def operation_claimed(self, action: str, attempts: int) -> None:
        """Take the claim of an operation, the first one being its attempt 1."""

    def operation_ended(self, action: str, status: str, seconds: float) -> None:
        """Take the end of an operation, so long after it was accepted."""

    def operation_abandoned(self, reason: str) -> None:
        """Take an operation that a worker left; see :data:`ABANDONED`."""

    def step_ended(self, action: str, step: str, outcome: str, seconds: float) -> None:
        """Take what became of a step; see :data:`STEP_TIME`."""

    def step_retried(self, action: str, step: str) -> None:
        """Take that a step is tried again."""

    def message_refused(self, message: str, reason: str) -> None:
        """Take a message of the bus that was not acted on.

        :param message: ``request`` or ``answer``
        :param reason: one word of a small set, never text from the message
        """

    def guest_refused(self, reason: str, count: int) -> None:
        """Take messages that a guest did not act on.

        :param reason: one of those of :data:`GUEST_REFUSED`
        """

    def heartbeat_received(self) -> None:
        """Take the arrival of a heartbeat."""

    def heartbeats_handled(self, outcome: str, count: int) -> None:
        """Take what became of heartbeats; see :data:`BEATS`."""

    def step_reported(self, outcome: str) -> None:
        """Take a guest's report; see :data:`REPORTS`."""

    def cloud_call(self, region: str, service: str, operation: str, outcome: str,
                   seconds: float) -> None:
        """Take a call to the cloud."""

    def store_failed(self, kind: str) -> None:
        """Take an error of the store; see :data:`STORE_ERRORS`."""

    def store_retried(self, kind: str) -> None:
        """Take that a transaction begins again."""

    def failover(self, outcome: str) -> None:
        """Take what was decided of a lost source; see :data:`FAILOVERS`."""

    def reconciled(self, outcome: str) -> None:
        """Take a comparison with the cloud; see :data:`RECONCILIATIONS`."""

    def finding(self, kind: str, outcome: str) -> None:
        """Take what such a comparison found; see :data:`FINDINGS`."""

    def notifications(self, outcome: str, count: int) -> None:
        """Take what became of notifications; see :data:`NOTIFICATIONS`."""


#: what a component tells when nobody listens; it has no state
SILENT: Final = Recorder()
