"""Stopping the database of an instance for a while."""

from __future__ import annotations

import logging

from trove_ng.common.errors import UnsavedChanges
from trove_ng.operations import guest, servers
from trove_ng.operations.work import Work
from trove_ng.rpc import messages

LOG = logging.getLogger(__name__)


def stop(work: Work) -> None:
    """Stop the database; it stays stopped."""
    client = work.tools.guests(work.resource_id, work.context)
    client.stop_db(messages.StepRequest(operation_id=work.id, step="stop"))


def stop_if_kept(work: Work) -> None:
    """Stop the database, unless it has changes that it has no room to write."""
    try:
        stop(work)
    except UnsavedChanges as err:
        LOG.info("operation %s: %s stays up: %s", work.id, work.resource_id, err.message)


def start_as(work: Work, step: str, memory_mb: int) -> None:
    """Start the stopped database with settings for an amount of memory.

    :param step: name that the agent remembers the request by
    """
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    client = work.tools.guests(instance.id, work.context)
    client.start_db_with_conf_changes(messages.ResizeRequest(
        operation_id=work.id, step=step, memory_mb=memory_mb,
        config=work.tools.datastores[version.manager].config(
            memory_mb, version.version)))
    guest.wait_for_database(work, instance.id)


def start(work: Work) -> None:
    """Start it with the settings for the memory that the instance has."""
    start_as(work, "start", servers.load(work).flavor_ram)


def start_again(work: Work) -> None:
    """Undo :func:`stop`."""
    start_as(work, "start_again", servers.load(work).flavor_ram)
