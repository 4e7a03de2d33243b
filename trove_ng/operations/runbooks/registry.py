"""Which run-book an action has."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from trove_ng.operations.runbook import Runbook
from trove_ng.operations.runbooks import (
    apply_configuration,
    configure_instance,
    create_backup,
    create_instance,
    create_replica,
    create_snapshot,
    delete_backup,
    delete_instance,
    detach_replica,
    eject_source,
    import_backup,
    migrate_instance,
    promote_replica,
    reapply_module,
    reboot_instance,
    rebuild_instance,
    resize_flavor,
    resize_volume,
    restart_instance,
    seed_replicas,
    set_tls,
    stop_instance,
    update_access,
    upgrade_agent,
    verify_backup,
)


@functools.cache
def runbooks() -> Mapping[str, Runbook]:
    """Return all run-books by action."""
    found = (create_instance.RUNBOOK, *delete_instance.RUNBOOKS, restart_instance.RUNBOOK,
             resize_flavor.RUNBOOK, *resize_volume.RUNBOOKS, stop_instance.RUNBOOK,
             reboot_instance.RUNBOOK, migrate_instance.RUNBOOK, *rebuild_instance.RUNBOOKS,
             create_backup.RUNBOOK, configure_instance.RUNBOOK, apply_configuration.RUNBOOK,
             update_access.RUNBOOK, delete_backup.RUNBOOK, import_backup.RUNBOOK,
             reapply_module.RUNBOOK, upgrade_agent.RUNBOOK, create_snapshot.RUNBOOK,
             create_snapshot.DELETION, create_replica.RUNBOOK, detach_replica.RUNBOOK,
             promote_replica.RUNBOOK, eject_source.RUNBOOK, *set_tls.RUNBOOKS,
             seed_replicas.RUNBOOK, verify_backup.RUNBOOK)
    return MappingProxyType({one.action: one for one in found})
