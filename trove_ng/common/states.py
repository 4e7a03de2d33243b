"""States that the control plane and the guest agent both speak of."""

from __future__ import annotations

import enum

#: the kind of volume that every instance with volumes has
DATA_VOLUME = "data"
#: the root disk, where a volume configuration speaks of it; it is the flavor's
ROOT_VOLUME = "root"


class ServiceStatus(enum.StrEnum):
    """What the database on a server is, as its agent reports it."""

    #: the agent has connected and waits for prepare
    NEW = "NEW"
    #: prepare runs
    BUILDING = "BUILDING"
    #: prepare is done, a cluster is still being put together
    INSTANCE_READY = "INSTANCE_READY"
    #: the database process runs, its answer was not checked
    RUNNING = "RUNNING"
    #: the database answers queries
    HEALTHY = "HEALTHY"
    #: the process lives and does not answer (too many connections, full disk)
    BLOCKED = "BLOCKED"
    #: the process was stopped on purpose
    SHUTDOWN = "SHUTDOWN"
    #: the process is gone and nobody stopped it
    CRASHED = "CRASHED"
    #: prepare or another unrecoverable step failed
    FAILED = "FAILED"
    #: the agent restarts the database
    RESTARTING = "RESTARTING"
    #: the agent runs an upgrade
    UPGRADING = "UPGRADING"
    #: nothing is known, for example no heartbeat came in time
    UNKNOWN = "UNKNOWN"


#: of a database that serves nobody, and was not stopped
DOWN = frozenset({ServiceStatus.CRASHED, ServiceStatus.BLOCKED})


class ReportState(enum.StrEnum):
    """Where a long step on a guest stands."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class BackupState(enum.StrEnum):
    """The states of a backup."""

    NEW = "NEW"
    BUILDING = "BUILDING"
    SAVING = "SAVING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RESTORED = "RESTORED"
    DELETING = "DELETING"
    DELETE_FAILED = "DELETE_FAILED"
    CORRUPT = "CORRUPT"


#: owner of the instances that backups are restored into to be checked
VERIFICATION_PROJECT = "trove-backup-verification"
#: states in which a backup still works on its instance
BACKUP_RUNNING = frozenset(
    {BackupState.NEW, BackupState.BUILDING, BackupState.SAVING})
#: states in which a backup can be restored, or continued, as far as is known
BACKUP_USABLE = frozenset({BackupState.COMPLETED, BackupState.RESTORED})


class ExecutionState(enum.StrEnum):
    """The states of one execution of a schedule."""

    #: the instance cannot be backed up now; it is tried again for a while
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    #: nobody was there to begin it in time
    MISSED = "MISSED"


class VerificationState(enum.StrEnum):
    """How far the verification of a backup is, for the schedule that wants it."""

    #: for the backup to end, or others to have been verified
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    GOOD = "GOOD"
    CORRUPT = "CORRUPT"
    #: it could not be told how the backup is
    FAILED = "FAILED"


class EventKind(enum.StrEnum):
    """What a line of a timeline tells."""

    OPERATION_ACCEPTED = "operation.accepted"
    OPERATION_STARTED = "operation.started"
    #: another worker goes on where one stopped
    OPERATION_RESUMED = "operation.resumed"
    OPERATION_SUCCEEDED = "operation.succeeded"
    OPERATION_FAILED = "operation.failed"
    OPERATION_CANCELLED = "operation.cancelled"
    #: an operator set the task to none
    STATUS_RESET = "status.reset"
    #: the agent tells another state of the database
    DATABASE_STATUS = "status.database"
    #: the compute service tells another state of the server
    SERVER_STATUS = "status.server"
    FAULT = "fault"
    HEARTBEAT_LOST = "heartbeat.lost"
    HEARTBEAT_BACK = "heartbeat.back"
    #: a lost source is given up without being asked for
    FAILOVER_BEGUN = "failover.begun"
    #: it is lost, and stays
    FAILOVER_REFUSED = "failover.refused"
    #: a certificate ends soon: it is replaced, or its owner has to replace it
    CERTIFICATE_RENEWAL = "certificate.renewal"
    CERTIFICATE_ENDING = "certificate.ending"
    #: store and cloud do not agree
    MISMATCH_FOUND = "mismatch.found"
    MISMATCH_REPAIRED = "mismatch.repaired"
    #: a new instance has the data of an earlier moment of another one
    RESTORED = "restore.reached"
    #: an instance follows another one than before, or none, or became a source
    ROLE_CHANGED = "role.changed"
    #: an instance became the source of its set: what goes on with it
    TAKEN_OVER = "source.taken_over"
    #: the backup that a new source's archive begins with is made, or why it is not
    ARCHIVE_BASE = "archive.base"
