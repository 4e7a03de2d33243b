"""Errors on the bus: which ones cross by type, and how."""

from __future__ import annotations

import os
import traceback
from typing import Any

from trove_ng.common import errors

#: errors of common.errors that a receiver gets as what they are
TYPED = {kind.__name__: kind for kind in (
    errors.BadRequest, errors.Forbidden, errors.NotFound, errors.Conflict,
    errors.UnprocessableEntity, errors.NotSupported, errors.ServiceUnavailable,
    errors.GuestError, errors.QuotaExceeded, errors.UnsavedChanges)}


def crosses(error: Exception) -> bool:
    """Return whether a receiver gets an error as what it is."""
    return type(error) in TYPED.values()


def describe(error: Exception) -> dict[str, Any]:
    """Return the form in which an error crosses.

    An unexpected one crosses by its type's name only: its text may hold anything.
    """
    if isinstance(error, errors.TroveError) and crosses(error):
        return {"type": type(error).__name__, "message": error.message}
    return {"type": errors.GuestError.__name__,
            "message": f"The request failed there ({type(error).__name__}); "
                       "its log has the details."}


def traced(error: BaseException) -> str:
    """Return type and origin of an error, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{os.path.basename(one.filename)}:{one.lineno} {one.name}"
                        for one in reversed(frames[-6:]))
    return f"{type(error).__name__} at {places}"


def revive(described: dict[str, Any]) -> errors.TroveError:
    """Return the error that an answer describes."""
    kind = TYPED.get(str(described.get("type")), errors.GuestError)
    return kind(str(described.get("message", "")))
