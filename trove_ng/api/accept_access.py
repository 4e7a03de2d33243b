"""Accepting changes of who reaches an instance."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.db.models import Instance
from trove_ng.db.repositories import instances
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import Task, refuse_access
from trove_ng.operations import payloads
from trove_ng.operations.readiness import Loaded

Access = dict[str, Any]


def checked(call: Call, wanted: Access, region: str | None) -> Access:
    """Return what is asked for, in one form.

    :param region: of the instance; None: the configured one
    :raises BadRequest: there are no public addresses here
    """
    access = {name: value for name, value in wanted.items() if value is not None}
    catalog = call.services.catalog.in_region(region)
    if access.get("is_public") and not catalog.has_public_network():
        raise BadRequest("Validation error: instance.access.is_public: there is no public "
                         "network here.")
    if "allowed_cidrs" in access:
        # two of them may mean the same
        access["allowed_cidrs"] = list(dict.fromkeys(
            str(ipaddress.ip_network(one, strict=False)) for one in access["allowed_cidrs"]))
    return access


@retry_on_db_error
def update(call: Call, wanted: Access, also: Callable[[Instance], None]) -> None:
    """Begin to change who reaches an instance; what is not named stays as it is.

    :param also: changes what else the same request asks for
    :raises UnprocessableEntity: something else is done with the instance
    """
    with call.services.db.reader() as session:
        region = instances.region_of(session, call.params["id"], call.owner)
    asked = checked(call, wanted, region)
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        operation_id = _begin(session, call, loaded, asked)
        also(loaded.instance)
    wake(call, operation_id)


@retry_on_db_error
def edit_networks(call: Call, instance_id: str, edit: Callable[[list[str]], list[str]],
                  answer: Any = None) -> None:
    """Begin to change which networks reach an instance.

    :param edit: returns the new networks, given those that hold now
    :param answer: body of the answer
    :raises UnprocessableEntity: something else is done with the instance
    """
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, instance_id)
        present = list((loaded.instance.access or {}).get("allowed_cidrs") or [])
        operation_id = _begin(
            session, call, loaded, {"allowed_cidrs": edit(present)}, answer)
    wake(call, operation_id)


def _begin(session: Session, call: Call, loaded: Loaded, asked: Access,
           answer: Any = None) -> str:
    instance = loaded.instance
    why = refuse_access(loaded.facts)
    if why is not None:
        raise UnprocessableEntity(f"Instance {instance.id} is not ready for this: {why}.")
    return accept.begin(
        session, call, loaded, payloads.INSTANCE_UPDATE_ACCESS, Task.UPDATING,
        payloads.UpdateAccess(access={**(instance.access or {}), **asked}), answer=answer)
