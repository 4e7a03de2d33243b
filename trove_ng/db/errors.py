"""Errors of the store, told to a recorder."""

from __future__ import annotations

from typing import Any

from oslo_db.exception import DBConnectionError, DBDuplicateEntry, DBError
from sqlalchemy import Engine, event

from trove_ng.common.metrics import Recorder
from trove_ng.db import trouble
from trove_ng.db.trouble import Trouble

_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (DBConnectionError, "disconnect"), (DBDuplicateEntry, "duplicate"))


def kind_of(error: BaseException | None) -> str:
    """Return the kind of an error, one of the metric ``trove_store_errors_total``."""
    if error is not None and trouble.of(error) is Trouble.CONFLICT:
        return "deadlock"
    return next((kind for known, kind in _KINDS if isinstance(error, known)), "other")


def tell(engine: Engine, recorder: Recorder) -> None:
    """Tell a recorder of each error on an engine that oslo.db made."""
    @event.listens_for(engine, "handle_error")
    def _on_error(context: Any) -> None:
        if isinstance(context.original_exception, DBError):
            return  # on its way up through a second handler
        # what oslo.db, which comes before, made of the driver's error
        # (a ping's context has none)
        error = getattr(context, "chained_exception", None)
        kind = "disconnect" if error is None and context.is_disconnect else kind_of(error)
        recorder.store_failed(kind)
