"""Where the server of an instance goes: server groups of instances with a locality.

A group is named after its first instance.  Replicas have the group of their source.
"""

from __future__ import annotations

from trove_ng.db.models import Instance
from trove_ng.db.repositories import instances
from trove_ng.operations import servers
from trove_ng.operations.work import StepFailed, Work


def make_group(work: Work) -> None:
    """Make the server group of an instance with a locality, or find its source's."""
    instance = servers.load(work)
    if instance.slave_of_id is not None:
        _follow(work, instance.slave_of_id)
    elif instance.locality:
        _make(work, instance, instance.locality)


def _follow(work: Work, source_id: str) -> None:
    with work.writer() as session:
        source = instances.get(session, source_id)
        if source is None:
            raise StepFailed("The source of the replica is gone.")
        found = servers.row(work, session)
        found.locality, found.server_group_id = source.locality, source.server_group_id


def _make(work: Work, instance: Instance, policy: str) -> None:
    compute = work.tools.clouds.compute
    known = compute.find_server_groups(instance.id)
    group = known[0] if known else compute.create_server_group(instance.id, policy)
    servers.note(work, server_group_id=group.id)


def drop_group(work: Work) -> None:
    """Delete the server group, with the last instance that is in it."""
    compute = work.tools.clouds.compute
    with work.reader() as session:
        instance = instances.get(session, work.resource_id)
        group_id = instance.server_group_id if instance is not None else None
        shared = group_id is not None and instances.shares_server_group(
            session, group_id, work.resource_id)
    locality = instance.locality if instance is not None else None
    mine = {one.id for one in compute.find_server_groups(work.resource_id)} if locality else set()
    if group_id is not None:
        mine.add(group_id)
    for one in sorted(mine):
        if not (shared and one == group_id):
            compute.delete_server_group(one)
    servers.forget(work, server_group_id=None)
