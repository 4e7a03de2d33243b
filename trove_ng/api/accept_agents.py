"""Accepting another release of instances' agents."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.conf.api import PACKAGE
from trove_ng.db.repositories import service_statuses
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads
from trove_ng.operations.readiness import Loaded


def package(call: Call) -> payloads.UpgradeAgent:
    """Return the release that the operator offers.

    :raises UnprocessableEntity: none
    """
    conf = call.services.conf[PACKAGE]
    if not conf.version or not conf.location or not conf.sha256:
        raise UnprocessableEntity("No package of the agent is configured.")
    return payloads.UpgradeAgent(
        version=conf.version, location=conf.location, sha256=conf.sha256)


def upgrade_agent(call: Call, asked: dict[str, Any]) -> None:
    """Begin to give an instance the release of the agent that the operator offers.

    :param asked: what the request says of it; it cannot name another one, since an agent
        must not run what it finds at an address of a request
    :raises BadRequest: another one is named
    """
    offered = package(call)
    told = {"instance_version": offered.version, "location": offered.location,
            "metadata.sha256": offered.sha256}
    named = {**asked, "metadata.sha256": (asked.get("metadata") or {}).get("sha256")}
    for field, value in told.items():
        if named.get(field) and named[field] != value:
            raise BadRequest(f"Validation error: upgrade.{field}: the package of the agent "
                             f"that is configured has {value}.")

    def check(session: Session, loaded: Loaded) -> None:
        accept.usable(call, loaded)
        refuse_same(session, loaded, offered)

    accept.submit(call, check, payloads.INSTANCE_UPGRADE_AGENT, Task.UPDATING, offered)


def refuse_same(session: Session, loaded: Loaded, offered: payloads.UpgradeAgent) -> None:
    """Check that an instance's agent is another release.

    :raises UnprocessableEntity: it is not
    """
    row = service_statuses.get(session, loaded.instance.id)
    if row is not None and row.agent_version == offered.version:
        raise UnprocessableEntity(f"The agent of instance {loaded.instance.id} is of version "
                                  f"{offered.version} already.")
