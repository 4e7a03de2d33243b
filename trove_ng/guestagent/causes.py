"""Why a server failed: found in what it wrote.

Only our own sentences are told: what a log holds besides may be of the customer, or made to
deceive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: of which files of the database that cannot be used are the cause
DAMAGED = "the files of the database are damaged."
#: characters of a log's end that are looked at
LOOKED_AT = 32 * 1024
#: characters of a line that are
LINE = 1000

#: what is looked for, the most certain first, and the sentence that it stands for
Causes = Sequence[tuple[re.Pattern[str], str]]


def compiled(*pairs: tuple[str, str]) -> Causes:
    """Return causes of patterns, which do not distinguish capitals."""
    return tuple((re.compile(pattern, re.IGNORECASE), sentence) for pattern, sentence in pairs)


def refusal(settings: Sequence[str]) -> str:
    """Return what is told of settings that a database refuses; empty: it does not say which."""
    named = f"the value of {', '.join(settings)}." if settings else "the settings."
    return f"The database refuses {named}"


def most_certain(lines: Sequence[str], causes: Causes) -> str:
    """Return the first of the causes that is in one of the lines, or nothing."""
    return next((sentence for pattern, sentence in causes
                 if any(pattern.search(line) for line in lines)), "")


def of_last_life(text: str, causes: Causes, begin: re.Pattern[str], well: re.Pattern[str],
                 beside: re.Pattern[str] | None = None) -> str:
    """Return the cause of the last failure, as the end of a sentence, or nothing.

    :param begin: what a server writes when a life begins
    :param well: when it has begun, or ended, well
    :param beside: what is in lines that tell nothing of the server itself
    """
    life: list[str] = []
    for line in reversed(text[-LOOKED_AT:].splitlines()):
        if well.search(line):
            break
        if beside is None or not beside.search(line):
            life.append(line[:LINE])
        if begin.search(line):
            break
    return most_certain(life, causes)
