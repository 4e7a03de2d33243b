"""What the API shows as the status of an instance: a pure function of facts.

Two axes, never mixed: ``status`` says what the control plane does with the instance,
``operating_status`` what its database is.
"""

from __future__ import annotations

import dataclasses
import enum

from trove_ng.common.states import ServiceStatus


class Task(enum.StrEnum):
    """What the control plane does with an instance (``instances.task``)."""

    NONE = "NONE"
    BUILDING = "BUILDING"
    DELETING = "DELETING"
    RESTARTING = "RESTARTING"
    STOPPING = "STOPPING"
    REBOOTING = "REBOOTING"
    RESIZING = "RESIZING"
    MIGRATING = "MIGRATING"
    REBUILDING = "REBUILDING"
    UPGRADING = "UPGRADING"
    PROMOTING = "PROMOTING"
    EJECTING = "EJECTING"
    DETACHING = "DETACHING"
    UPDATING = "UPDATING"
    LOGGING = "LOGGING"


class Status(enum.StrEnum):
    """The values of ``status`` in the API."""

    ACTIVE = "ACTIVE"
    BUILD = "BUILD"
    REBOOT = "REBOOT"
    RESIZE = "RESIZE"
    UPGRADE = "UPGRADE"
    PROMOTE = "PROMOTE"
    EJECT = "EJECT"
    DETACH = "DETACH"
    UPDATE = "UPDATE"
    LOGGING = "LOGGING"
    BACKUP = "BACKUP"
    RESTART_REQUIRED = "RESTART_REQUIRED"
    SHUTDOWN = "SHUTDOWN"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"


@dataclasses.dataclass(frozen=True)
class Facts:
    """All that the status of an instance follows from.

    :param task: ``instances.task``
    :param error: ``instances.error``, empty when nothing failed for good
    :param server_status: the compute service's word, as last seen
    :param service_status: the agent's word
    :param reason: the agent's word on what is wrong with the database
    :param heartbeat_age: seconds since the newest heartbeat; None: there was none
    :param backup_running: a backup of the instance is not ended
    """

    task: str = Task.NONE
    error: str = ""
    restart_required: bool = False
    server_status: str | None = None
    service_status: str = ServiceStatus.UNKNOWN
    reason: str = ""
    heartbeat_age: float | None = None
    backup_running: bool = False


_BY_TASK: dict[str, Status] = {
    Task.BUILDING: Status.BUILD,
    Task.RESTARTING: Status.REBOOT,
    Task.STOPPING: Status.SHUTDOWN,
    Task.REBOOTING: Status.REBOOT,
    Task.RESIZING: Status.RESIZE,
    Task.MIGRATING: Status.RESIZE,
    Task.REBUILDING: Status.BUILD,
    Task.UPGRADING: Status.UPGRADE,
    Task.PROMOTING: Status.PROMOTE,
    Task.EJECTING: Status.EJECT,
    Task.DETACHING: Status.DETACH,
    Task.UPDATING: Status.UPDATE,
    Task.LOGGING: Status.LOGGING,
}

_BY_SERVER: dict[str, Status] = {
    "ACTIVE": Status.ACTIVE,
    "HEALTHY": Status.ACTIVE,
    "BUILD": Status.BUILD,
    "REBUILD": Status.BUILD,
    "ERROR": Status.ERROR,
    "REBOOT": Status.REBOOT,
    "HARD_REBOOT": Status.REBOOT,
    "RESIZE": Status.RESIZE,
    "VERIFY_RESIZE": Status.RESIZE,
    "MIGRATING": Status.RESIZE,
    "SHUTOFF": Status.SHUTDOWN,
    "SHUTDOWN": Status.SHUTDOWN,
    "STOPPED": Status.SHUTDOWN,
    "PAUSED": Status.SHUTDOWN,
    "SUSPENDED": Status.SHUTDOWN,
    "DELETED": Status.ERROR,
}

#: ``Facts.error`` of an instance that could not be made
NOT_MADE = "BUILD"
#: states of the database in which an action on the instance may begin
_USABLE = frozenset({
    ServiceStatus.RUNNING, ServiceStatus.HEALTHY, ServiceStatus.SHUTDOWN,
    ServiceStatus.CRASHED, ServiceStatus.BLOCKED,
})
#: work on an instance during which it has no logs, or soon has none
_UNREADY = frozenset({Task.BUILDING, Task.REBUILDING, Task.DELETING})
#: states of a database that is not made yet
_UNPREPARED = frozenset({ServiceStatus.NEW, ServiceStatus.BUILDING, ServiceStatus.UNKNOWN})
#: states of a database that serves nobody, as far as its agent sees
_LOST = frozenset({ServiceStatus.SHUTDOWN, ServiceStatus.CRASHED, ServiceStatus.BLOCKED})
#: states of the database in which its agent can run statements on it
_ANSWERING = frozenset({ServiceStatus.RUNNING, ServiceStatus.HEALTHY})


def status(facts: Facts) -> Status:
    """Return what the control plane does with the instance.

    A delete under way outranks an error, so that the owner sees that it goes.
    """
    if facts.task == Task.DELETING:
        return Status.SHUTDOWN
    if facts.error:
        return Status.ERROR
    if facts.task != Task.NONE:
        return _BY_TASK.get(facts.task, Status.UNKNOWN)
    if facts.backup_running:
        return Status.BACKUP
    server = _BY_SERVER.get(facts.server_status or "", Status.UNKNOWN)
    if server is Status.ACTIVE and facts.restart_required:
        return Status.RESTART_REQUIRED
    return server


def operating_status(facts: Facts, heartbeat_expiry: float) -> str:
    """Return what the database is, empty while the control plane works on it.

    :param heartbeat_expiry: seconds after which a heartbeat says nothing any more
    """
    if facts.task != Task.NONE or _BY_SERVER.get(facts.server_status or "") != Status.ACTIVE:
        return ""
    if not is_fresh(facts, heartbeat_expiry):
        return "ERROR"
    return facts.service_status


def operating_status_reason(facts: Facts, heartbeat_expiry: float) -> str:
    """Return a sentence on why the operating status is what it is; empty if all is well."""
    if not operating_status(facts, heartbeat_expiry):
        return ""
    if not is_fresh(facts, heartbeat_expiry):
        return "The guest agent has not been heard of in time."
    return facts.reason


def is_fresh(facts: Facts, heartbeat_expiry: float) -> bool:
    """Return True if the agent was heard of within ``heartbeat_expiry`` seconds."""
    return facts.heartbeat_age is not None and facts.heartbeat_age <= heartbeat_expiry


def is_lost(facts: Facts, heartbeat_expiry: float) -> bool:
    """Return True if the agent is not heard of, or says that the database does not serve."""
    return not is_fresh(facts, heartbeat_expiry) or facts.service_status in _LOST


def is_made(facts: Facts) -> bool:
    """Return True if the making of the instance is over, and succeeded."""
    return facts.task != Task.BUILDING and facts.error != NOT_MADE


def refuse_action(facts: Facts) -> str | None:
    """Return why no action may begin on the instance now, None when one may."""
    shown = status(facts)
    if shown not in (Status.ACTIVE, Status.RESTART_REQUIRED):
        return f"its status is {shown}"
    if facts.service_status not in _USABLE:
        return f"its database is {facts.service_status}"
    return None


def refuse_repair(facts: Facts) -> str | None:
    """Return why the server may not be rebooted or rebuilt now, None when it may.

    What is wrong with server or database is no reason.
    """
    if facts.task != Task.NONE:
        return f"its task is {facts.task}"
    return "a backup of it is being made" if facts.backup_running else None


def refuse_delete(facts: Facts) -> str | None:
    """Return why the instance may not be deleted now, None when it may."""
    if facts.task not in (Task.NONE, Task.DELETING) and not facts.error:
        return f"its status is {status(facts)}"
    if facts.task != Task.DELETING and facts.backup_running:
        return f"its status is {Status.BACKUP}"
    return None


def refuse_access(facts: Facts) -> str | None:
    """Return why it may not be changed now who reaches the instance, or None.

    Its database and agent may be down: who is kept out must not wait for them.
    """
    if facts.task != Task.NONE or facts.error or facts.server_status in (None, "DELETED"):
        return f"its status is {status(facts)}"
    return None


def refuse_logs(facts: Facts) -> str | None:
    """Return why the agent cannot be asked for logs now, or None; its database may be down."""
    server = _BY_SERVER.get(facts.server_status or "")
    if facts.task in _UNREADY or server != Status.ACTIVE:
        return f"its status is {status(facts)}"
    if facts.service_status in _UNPREPARED:
        return f"its database is {facts.service_status}"
    return None


def refuse_statement(facts: Facts) -> str | None:
    """Return why the agent cannot be asked for users or databases now, or None."""
    if facts.task != Task.NONE or facts.error:
        return f"its status is {status(facts)}"
    if _BY_SERVER.get(facts.server_status or "") != Status.ACTIVE:
        return f"its status is {status(facts)}"
    if facts.service_status not in _ANSWERING:
        return f"its database is {facts.service_status}"
    return None
