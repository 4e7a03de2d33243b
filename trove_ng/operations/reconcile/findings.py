"""What a comparison finds."""

from __future__ import annotations

import dataclasses
import enum


class Kind(enum.StrEnum):
    """What is wrong."""

    #: a resource of an instance that was deleted, or whose creation failed
    LEFTOVER = "leftover"
    #: a resource that names an instance which the store never had
    UNKNOWN_INSTANCE = "unknown-instance"
    #: a snapshot that names a backup which the store never had
    UNKNOWN_BACKUP = "unknown-backup"
    #: a second resource of an instance that needs one
    DUPLICATE = "duplicate"
    #: what the instance's row names is not in the cloud
    MISSING = "missing"
    #: the row says another server status than the cloud
    SERVER_STATUS = "server-status"
    #: the row says another machine than the cloud: the server was moved by somebody else
    SERVER_HOST = "server-host"
    #: the server does not run, and nobody stopped it here
    SERVER_NOT_ACTIVE = "server-not-active"
    VOLUME_DETACHED = "volume-detached"
    VOLUME_ELSEWHERE = "volume-elsewhere"
    VOLUME_SIZE = "volume-size"
    PORT_DOWN = "port-down"
    PORT_ELSEWHERE = "port-elsewhere"
    #: whom an instance lets in who is not its replica any more
    LETS_IN = "lets-in"
    #: an instance may have accounts of replicas that are gone
    ACCOUNTS_LEFT = "accounts-left"
    #: a new source of a set that clients cannot write to
    SOURCE_CLOSED = "source-closed"
    FLOATING_IP_ELSEWHERE = "floating-ip-elsewhere"
    NAME_ELSEWHERE = "name-elsewhere"
    #: the use of a quota is not what the rows add up to
    QUOTA_USAGE = "quota-usage"
    #: operations that no taskmanager works on
    OPERATIONS_WAIT = "operations-wait"
    #: a row shows that it is worked on, and nothing works on it
    TASK_WITHOUT_OPERATION = "task-without-operation"
    #: an instance or a backup that could not be deleted
    NOT_DELETED = "not-deleted"
    #: the RPC key of an instance that is deleted
    KEY_WITHOUT_INSTANCE = "key-without-instance"
    HEARTBEAT_OLD = "heartbeat-old"
    #: the agent waits for its first request: the root disk was replaced
    AGENT_NEW = "agent-new"


class Repair(enum.StrEnum):
    """What is done about it; no repair can lose data of an instance that exists."""

    DELETE = "delete"
    NOTE_STATUS = "note-status"
    NOTE_HOST = "note-host"
    #: confirm a resize that nobody decides about any more, or revert it
    SETTLE_RESIZE = "settle-resize"
    RECOUNT = "recount"
    CLEAR_TASK = "clear-task"
    #: begin an operation that starts the database again
    RECOVER = "recover"
    DELETE_KEY = "delete-key"
    #: of an instance that is gone
    DELETE_NAME = "delete-name"
    #: let the name of an instance lead to its address
    SET_NAME = "set-name"
    DELETE_SNAPSHOT = "delete-snapshot"
    #: delete what an agent stored for a backup that is not there any more
    DELETE_OBJECTS = "delete-objects"
    #: begin an operation that deletes an instance in which a backup was checked
    DELETE_INSTANCE = "delete-instance"
    #: the same for what could not be deleted when its owner asked for it
    DELETE_AGAIN = "delete-again"
    #: begin an operation that lets in whom the row says
    LET_OUT = "let-out"
    #: the same, which also takes the accounts of replicas that are gone
    DROP_ACCOUNTS = "drop-accounts"
    #: begin an operation that lets clients write
    OPEN_SOURCE = "open-source"
    #: delete a volume that was kept for snapshots which are gone
    DELETE_KEPT = "delete-kept"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    :param what: a sentence, for operators
    :param resource: ``server``, ``volume``, ``floating_ip``, ``port``, ``security_group``,
        ``server_group``, ``snapshot``, ``objects``, ``name``, ``backup``, or the name of a
        quota
    :param repair: None: a person must decide
    :param before: what the row says
    :param after: what the cloud has
    :param region: of the cloud that was looked at, None for what is wrong within the store
    """

    kind: Kind
    what: str
    instance_id: str | None = None
    tenant_id: str | None = None
    resource: str = ""
    resource_id: str = ""
    repair: Repair | None = None
    before: str | None = None
    after: str | None = None
    region: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same finding in the next comparison."""
        return (self.kind, self.instance_id or "", self.tenant_id or "", self.resource,
                self.resource_id, self.repair or "")

    def details(self) -> dict[str, str]:
        """Return what it is about, for an event or as JSON."""
        return {name: str(value) for name, value in (
            ("finding", self.kind), ("resource", self.resource),
            ("resource_id", self.resource_id), ("before", self.before), ("after", self.after),
            ("region", self.region))
            if value}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a finding.

    :param repaired: it was repaired, or its repair is under way
    :param problem: why its repair did not succeed
    """

    finding: Finding
    repaired: bool = False
    problem: str = ""
