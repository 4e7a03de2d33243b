"""How the agent's process keeps what it has freed."""

from __future__ import annotations

import contextlib
import ctypes

#: ``M_ARENA_MAX`` of glibc's ``mallopt(3)``
_ARENA_MAX = -8


def keep_in_one_place() -> None:
    """Have all threads allocate from one place, to be called before there are others.

    Else the C library makes places for new threads, each of which keeps what was freed in it:
    an agent that streams backups in threads of their own grows with their number.
    """
    # only glibc has such places
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
