"""Telling a taskmanager that work was accepted."""

from __future__ import annotations

import logging

from trove_ng.api.call import Call
from trove_ng.common.errors import ServiceUnavailable

LOG = logging.getLogger(__name__)


def wake(call: Call, operation_id: str) -> None:
    """Send the word after the commit; when it is lost, the sweep finds the operation.

    The answer to the call names the operation, the last one if there are several.
    """
    call.operation_id = operation_id
    try:
        call.services.waker.wake(operation_id)
    except ServiceUnavailable as err:
        LOG.warning("operation %s waits for the sweep: %s", operation_id, err.message)
    except Exception:  # noqa: BLE001 - the request is accepted; an error would deny that
        LOG.exception("operation %s waits for the sweep", operation_id)
