"""What works that begin operations have in common when nobody asks for them now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.common.errors import Conflict, UnprocessableEntity
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway
from trove_ng.operations.requests import Requests

T = TypeVar("T")

LOG = logging.getLogger(__name__)


def work_on(what: str, work: Callable[[], Iterable[str]], wake: Callable[[str], None]) -> None:
    """Do the work; what cannot be worked on is logged, and does not stop the others.

    :param what: it is, for the log
    :param work: returns the ids of the operations that it began
    :param wake: is told of those
    """
    try:
        begun = work()
    except StoreAway:
        raise
    except Exception:
        LOG.exception("%s could not be worked on", what)
        return
    for operation_id in begun:
        wake(operation_id)


class Unasked:
    """Looks for what is to begin, and begins it.

    :param conf: with the options that the work reads
    :param wake: is told of operations that were begun
    """

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock, requests: Requests,
                 wake: Callable[[str], None], recorder: Recorder = SILENT) -> None:
        self._conf = conf
        self._db = db
        self._clock = clock
        self._requests = requests
        self._wake = wake
        self._recorder = recorder

    @staticmethod
    def _attempt(session: Session, what: str, begin: Callable[[], T]) -> T | None:
        """Begin an operation, or several; None, with nothing written of it, if that cannot be now.

        :param what: whose operation it is, for the log
        """
        try:
            with session.begin_nested():
                return begin()
        except (Conflict, UnprocessableEntity) as err:
            LOG.info("%s: %s", what, err.message)
            return None
