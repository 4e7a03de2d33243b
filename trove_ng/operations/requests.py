"""Accepting work: the row that makes a taskmanager do something."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.secret import Secret
from trove_ng.common.states import EventKind
from trove_ng.db.models import Operation
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import events, operations
from trove_ng.operations import payloads
from trove_ng.operations.notices import Notices

#: what ``inst_rpc_key_encr_key`` is used for here
PURPOSE = "operation"


class Requests:
    """Accepts operations.

    :param conf: with the options of conf.operations
    :param box: of purpose :data:`PURPOSE`
    :param notices: tells other services; by default nobody is told
    """

    def __init__(self, conf: cfg.ConfigOpts, box: SecretBox,
                 notices: Notices | None = None) -> None:
        self._conf = conf
        self._box = box
        self._notices = notices or Notices()

    def submit(self, session: Session, *, action: str, resource_type: str, resource_id: str,
               tenant_id: str, context: RequestContext, payload: payloads.Payload,
               now: datetime.datetime, secrets: Mapping[str, Secret] | None = None,
               supersede: bool = False,
               told: Callable[[], Mapping[str, Any]] = dict) -> Operation:
        """Add an operation in the transaction that accepts the request.

        The row is flushed, so that its id may be used by other rows; a taskmanager is
        woken by the caller after the commit.

        :param tenant_id: owner of the resource, who is not the caller when an
            administrator asks
        :param secrets: texts that only the run-book may see; erased when it ends
        :param supersede: end a live operation on the resource in favour of this one
            (delete does); its taskmanager loses its lease and stops
        :param told: gives what the notification of the start says besides what follows
            from the resource and ``payload``
        :raises trove_ng.common.errors.Conflict: another operation works on the resource
        """
        operation_id = new_id()
        if supersede:
            operations.cancel_live(session, resource_id, now)
        sealed = None
        if secrets:
            sealed = self._box.seal(
                json.dumps({name: text.reveal() for name, text in secrets.items()}),
                operation_id)
        timeout = self._conf.operations.timeouts.get(
            action, str(self._conf.operations.default_timeout))
        row = Operation(
            id=operation_id, action=action, resource_type=resource_type,
            resource_id=resource_id, live_key=resource_id, tenant_id=tenant_id,
            user_id=context.user_id, request_id=context.request_id,
            region_id=context.region or None, payload=payloads.dump(payload), secrets=sealed,
            # by the clock of all other times, not of this host
            created=now, updated=now,
            deadline_at=now + datetime.timedelta(seconds=float(timeout)))
        accepted = operations.add(session, row)
        events.add_for_operation(session, EventKind.OPERATION_ACCEPTED, accepted, now)
        self._notices.begin_operation(session, accepted, context, told, now)
        return accepted
