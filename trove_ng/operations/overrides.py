"""The settings of configuration groups, on their way to the agents."""

from __future__ import annotations

from trove_ng.db.models import Instance
from trove_ng.db.repositories import configurations
from trove_ng.operations import servers
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages


def values_of(work: Work, configuration_id: str | None) -> dict[str, object]:
    """Return the settings of a group, none for no group.

    :raises StepFailed: the group is gone
    """
    if configuration_id is None:
        return {}
    with work.reader() as session:
        if configurations.get(session, configuration_id, None) is None:
            raise StepFailed(f"Configuration {configuration_id} is gone.")
        return configurations.values(session, configuration_id)


def apply(work: Work, step: str, configuration_id: str | None) -> None:
    """Give an instance the settings of a group, and note whether it needs a restart."""
    instance = servers.load(work)
    values, restart = values_of(work, configuration_id), _restart_required(work, instance)
    result = work.tools.guests(instance.id, work.context).update_overrides(
        messages.OverridesRequest(
            operation_id=work.id, step=step, values=values, restart=restart))
    servers.note(work, restart_required=result.restart_required)


def _restart_required(work: Work, instance: Instance) -> list[str]:
    with work.reader() as session:
        return [row.name for row in configurations.parameters(
            session, instance.datastore_version_id) if row.restart_required]
