"""Whether an agent that says nothing may still speak."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trove_ng.cloud.errors import CloudError
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.db.repositories import instances

if TYPE_CHECKING:
    from trove_ng.operations.work import Tools

LOG = logging.getLogger(__name__)


class ServerLost(ServiceUnavailable):
    """An agent does not answer and will not: asking it again is of no use."""


def require_server(tools: Tools, instance_id: str) -> None:
    """See whether a silent agent has a server that may still run.

    A compute service that does not answer says nothing about it.

    :raises ServerLost: the server is gone, or in error
    """
    with tools.db.reader() as session:
        instance = instances.get(session, instance_id)
    if instance is None or not instance.compute_instance_id:
        return
    compute = tools.clouds.in_region(instance.region_id).compute
    try:
        found = compute.get_server(instance.compute_instance_id)
    except CloudError as err:
        LOG.info("it is not known whether instance %s has a server: %s", instance_id,
                 err.message)
        return
    if found is None:
        raise ServerLost(f"The server of instance {instance_id} is gone.")
    if found.status == "ERROR":
        raise ServerLost(
            f"The server of instance {instance_id} failed. {found.fault or ''}".strip())
