"""Nova's server states: what an API client sees and what it may do when. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACTIVE = "active"
BUILDING = "building"
DELETED = "deleted"
ERROR = "error"
RESIZED = "resized"
STOPPED = "stopped"

NOSTATE = 0
RUNNING = 1
SHUTDOWN = 4

_REBOOTS = ("rebooting", "reboot_pending", "reboot_started")
_HARD_REBOOTS = ("rebooting_hard", "reboot_pending_hard", "reboot_started_hard")
_REBUILDS = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
_RESIZES = ("resize_prep", "resize_migrating", "resize_migrated", "resize_finish")

_STATUS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    ACTIVE: ("ACTIVE", {
        "REBOOT": _REBOOTS, "HARD_REBOOT": _HARD_REBOOTS, "REBUILD": _REBUILDS,
        "MIGRATING": ("migrating",), "RESIZE": _RESIZES}),
    BUILDING: ("BUILD", {}),
    DELETED: ("DELETED", {}),
    ERROR: ("ERROR", {"REBUILD": _REBUILDS, "HARD_REBOOT": _HARD_REBOOTS}),
    RESIZED: ("VERIFY_RESIZE", {
        "REVERT_RESIZE": ("resize_reverting",), "REBOOT": _REBOOTS,
        "HARD_REBOOT": _HARD_REBOOTS}),
    STOPPED: ("SHUTOFF", {
        "RESIZE": _RESIZES, "REBUILD": _REBUILDS, "HARD_REBOOT": _HARD_REBOOTS}),
}


def status(vm_state: str, task_state: str | None) -> str:
    """Return the status that a client sees."""
    default, by_task = _STATUS[vm_state]
    for name, tasks in by_task.items():
        if task_state in tasks:
            return name
    return default


def vm_states_of(wanted: str) -> list[str]:
    """Return the VM states in which a server can show the status; empty: no such status."""
    name = wanted.upper()
    return [
        vm_state for vm_state, (default, by_task) in _STATUS.items()
        if name == default or name in by_task
    ]


@dataclass(frozen=True)
class Rule:
    """When an action is allowed; an empty tuple allows every state."""

    vm_states: tuple[str, ...]
    task_states: tuple[str | None, ...] = (None,)


RULES: Mapping[str, Rule] = {
    "reboot_soft": Rule((ACTIVE,)),
    "reboot_hard": Rule(
        (ACTIVE, STOPPED, ERROR), (None, *_REBOOTS, "rebooting_hard")),
    "start": Rule((STOPPED,)),
    "stop": Rule((ACTIVE, ERROR)),
    "rebuild": Rule((ACTIVE, STOPPED, ERROR)),
    "resize": Rule((ACTIVE, STOPPED)),
    "migrate": Rule((ACTIVE, STOPPED)),
    "confirmResize": Rule((RESIZED,)),
    "revertResize": Rule((RESIZED,)),
    "os-migrateLive": Rule((ACTIVE,)),
    "attach_volume": Rule((ACTIVE, STOPPED, RESIZED)),
    "detach_volume": Rule((ACTIVE, STOPPED, RESIZED)),
    "attach_interface": Rule((ACTIVE, STOPPED)),
    "detach_interface": Rule((ACTIVE, STOPPED)),
    "update metadata": Rule((ACTIVE, STOPPED)),
    "delete metadata": Rule((ACTIVE, STOPPED)),
    "addSecurityGroup": Rule((ACTIVE, STOPPED, BUILDING), ()),
    "removeSecurityGroup": Rule((ACTIVE, STOPPED, BUILDING), ()),
}


def refusal(action: str, server: Mapping[str, Any], shown_as: str | None = None) -> str:
    """Return why the action is refused in the server's state, in Nova's words, or ''."""
    rule = RULES[action]
    name = shown_as or action
    if rule.vm_states and server["vm_state"] not in rule.vm_states:
        return _sentence(name, server["id"], "vm_state", server["vm_state"])
    if rule.task_states and server["task_state"] not in rule.task_states:
        return _sentence(name, server["id"], "task_state", server["task_state"])
    return ""


def _sentence(action: str, server_id: str, attribute: str, state: str) -> str:
    return f"Cannot '{action}' instance {server_id} while it is in {attribute} {state}"
