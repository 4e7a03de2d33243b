"""Tracebacks for the log: where and what kind, without texts that may hold a secret."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TypeAlias

from trove_ng.common.errors import TroveError

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

#: kinds whose texts are our own, or the system's
_SHOWN = (TroveError, OSError, ImportError)


class WithoutTexts(logging.Filter):
    """Takes the texts out of the exceptions that a record shows.

    The text of an unexpected exception may hold anything, such as the statement with a
    password that a database server refused; its type and the lines of code do not.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, with the record's exception replaced."""
        if record.exc_info and record.exc_info[1] is not None:
            shown = without_texts(record.exc_info[1])
            record.exc_info = (type(shown), shown, shown.__traceback__)
            record.exc_text = None
        return True


def without_texts(error: BaseException) -> BaseException:
    """Return an exception to be shown instead: types and lines, our own texts only."""
    return _bare(error, set())


def _bare(error: BaseException, seen: set[int]) -> BaseException:
    """Return an exception that looks like another one, without its text."""
    if isinstance(error, _Bare):
        return error
    seen.add(id(error))
    kind = type(error)
    made = type(kind.__name__, (_Bare,), {
        "__module__": kind.__module__, "__qualname__": kind.__qualname__})
    text = str(error) if isinstance(error, _SHOWN) else "(its text is not shown)"
    bare: BaseException = made(text)
    bare.__traceback__ = error.__traceback__
    bare.__suppress_context__ = error.__suppress_context__
    for name in ("__cause__", "__context__"):
        before = getattr(error, name)
        if before is not None and id(before) not in seen:
            setattr(bare, name, _bare(before, seen))
    # setting a cause hides the context
    bare.__suppress_context__ = error.__suppress_context__
    return bare


class _Bare(Exception):
    """Stands for another exception."""
