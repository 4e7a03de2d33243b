"""Why a Redis server failed: found in what it wrote."""

from __future__ import annotations

import re

from trove_ng.guestagent import causes

_BEGIN = re.compile(r"oO0OoO0OoO0Oo Redis is starting")
_WELL = re.compile(
    r"Ready to accept connections|bye bye|(saving|AOF rewrite) terminated with success"
    r"|AOF write error looks solved")

#: what is looked for, the most certain first
_CAUSES = causes.compiled(
    (r"no space left on device", "the disk is full."),
    (r"disk quota exceeded", "the disk quota is used up."),
    (r"read-only file system", "the file system is read-only."),
    (r"out of memory|cannot allocate memory", "there is not enough memory."),
    (r"can't chdir|^no such file or directory$", "its directory is missing."),
    (r"fatal config file error|bad directive|wrong number of arguments"
     r"|error in user declaration", "its configuration is refused."),
    (r"address already in use", "its port is in use."),
    (r"permission denied", "it may not use one of its files."),
    (r"wrong signature|bad file format|short read|unexpected eof|checksum|internal error in "
     r"rdb|can't handle rdb format|fatal error loading|corrupt|aof .{0,80} doesn't exist",
     causes.DAMAGED),
    (r"crashed by signal", "it crashed."),
)


def find(text: str) -> str:
    """Return the cause of the last failure in a text, as the end of a sentence, or nothing."""
    return causes.of_last_life(text, _CAUSES, _BEGIN, _WELL)
