"""Why a server, or one of its programs, failed: found in what it wrote."""

from __future__ import annotations

import re

from trove_ng.guestagent.causes import DAMAGED, LINE, LOOKED_AT, compiled, most_certain

#: what a server writes when a life begins, when a start has failed, and when it has not
_BEGIN = re.compile(r"\[Note\] Starting MariaDB|starting as process", re.IGNORECASE)
_ABORTS = re.compile(r"\] aborting", re.IGNORECASE)
_WELL = re.compile(r"ready for connections", re.IGNORECASE)
#: an end on purpose, and since MySQL 8.0 that of a start that failed too
_END = re.compile(r"(mariadbd|mysqld): shutdown complete", re.IGNORECASE)
#: part of what every crash writes, whatever its cause
_SMALL_TALK = "improperly built"

#: what is looked for, the most certain first
_CAUSES = compiled(
    (r"no space left on device|disk (is )?full|out of disk space|(errno|error):? 28\b",
     "the disk is full."),
    (r"disk quota exceeded", "the disk quota is used up."),
    (r"read-only file system", "the file system is read-only."),
    (r"cannot allocate memory|out of memory|std::bad_alloc",
     "there is not enough memory."),
    (r"unknown (variable|option|suffix|character set|collation)|ambiguous option"
     r"|found option without preceding|option .{0,80} requires an argument"
     r"|error while setting value|fatal error in defaults handling"
     r"|wrong group definition|collation .{0,80} is not valid",
     "its configuration is refused."),
    (r"address already in use", "its port is in use."),
    (r"permission denied", "it may not use one of its files."),
    (r"invalid mysql server (up|down)grade|on data directory built by version"
     r"|upgrade is not supported after a crash|downgrade is not supported",
     "its data are of a version that it cannot take over."),
    (r"corrupt|checksum mismatch|wrong space id|invalid log header"
     r"|is of a different size|flags are invalid|should be \[page id"
     r"|with existing redo log|missing FILE_CHECKPOINT|unsupported redo log"
     r"|log sequence number .{0,80} in the future|failed to read the first page"
     r"|could not find a valid tablespace|cannot open datafile",
     DAMAGED),
    (r"table 'mysql\..{0,80}' doesn't exist|can't open and lock privilege tables",
     "its system tables are damaged or missing."),
    (r"can't change dir to|can't test lower case", "its directory is missing."),
    (r"access denied", "its account is refused."),
    (r"can't connect|lost connection|server has gone away",
     "the database does not answer."),
    (r"plugin 'innodb' registration|failed to initialize dd storage engine"
     r"|data dictionary initialization failed", "InnoDB does not start."),
    (r"got signal \d", "it crashed."),
)


def find(text: str) -> str:
    """Return the cause of the last failure in a text, as the end of a sentence, or nothing.

    A start that goes on, or that says nothing, is no news; one that went well is.
    """
    life: list[str] = []
    ended = False
    for line in reversed(text[-LOOKED_AT:].splitlines()):
        begins, aborts = _BEGIN.search(line), _ABORTS.search(line)
        if _WELL.search(line) or begins and ended:
            return "" if ended else most_certain(life, _CAUSES)
        if _END.search(line):
            ended = True
        elif aborts:
            ended = False
        if aborts or begins:
            if cause := most_certain(life, _CAUSES):
                return cause
            life.clear()
        if _SMALL_TALK not in line and not begins:
            life.append(line[:LINE])
    return "" if ended else most_certain(life, _CAUSES)
