"""Errors of the store: told to a recorder, and tried again where that helps."""

from __future__ import annotations

from typing import Any

import oslo_db.api
from oslo_db.exception import DBConnectionError, DBDeadlock, DBDuplicateEntry, DBError
from sqlalchemy import Engine, event

from trove_ng.common.metrics import SILENT, Recorder

_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (DBDeadlock, "deadlock"), (DBConnectionError, "disconnect"),
    (DBDuplicateEntry, "duplicate"))
_AGAIN = frozenset({"deadlock", "disconnect"})
#: where an error keeps the recorder of the store that it came from
_RECORDER = "trove_recorder"


def kind_of(error: BaseException | None) -> str:
    """Return the kind of an error, one of the metric ``trove_store_errors_total``."""
    return next((kind for known, kind in _KINDS if isinstance(error, known)), "other")


def tell(engine: Engine, recorder: Recorder) -> None:
    """Tell a recorder of each error on an engine that oslo.db made."""
    @event.listens_for(engine, "handle_error")
    def _on_error(context: Any) -> None:
        if isinstance(context.original_exception, DBError):
            return  # on its way up through a second handler
        # what oslo.db, which comes before, made of the driver's error
        error = context.chained_exception
        kind = "disconnect" if error is None and context.is_disconnect else kind_of(error)
        recorder.store_failed(kind)
        if error is not None:
            setattr(error, _RECORDER, recorder)


def _again(error: Exception) -> bool:
    kind = kind_of(error)
    if kind not in _AGAIN:
        return False
    recorder: Recorder = getattr(error, _RECORDER, SILENT)
    recorder.store_retried(kind)
    return True


#: decorator: run again when the store reports a deadlock or a lost connection;
#: only for functions whose whole work is inside one transaction
retry_on_db_error = oslo_db.api.wrap_db_retry(
    max_retries=5, exception_checker=_again,
    retry_interval=0.1, inc_retry_interval=True, max_retry_interval=2)
