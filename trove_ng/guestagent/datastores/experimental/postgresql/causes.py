"""Why a PostgreSQL server, or one of its programs, failed: found in what it wrote."""

from __future__ import annotations

import re

from trove_ng.guestagent import causes

_BEGIN = re.compile(r"LOG:  starting PostgreSQL")
_WELL = re.compile(r"database system is ready to accept connections")
#: what is about a client, and what it said
_OF_CLIENTS = re.compile(
    r"\] \S+@\S+ |\b(ERROR|STATEMENT|CONTEXT|QUERY):  ")

_CAUSES = causes.compiled(
    (r"no space left on device|disk full", "the disk is full."),
    (r"disk quota exceeded", "the disk quota is used up."),
    (r"read-only file system", "the file system is read-only."),
    (r"cannot allocate memory|out of memory|could not map anonymous shared memory"
     r"|could not (resize|create) shared memory", "there is not enough memory."),
    (r"configuration file .{0,200} contains errors|unrecognized configuration parameter"
     r"|invalid value for parameter|syntax error in file|must be less than"
     r"|could not load (pg_hba|\S*pg_hba)", "its configuration is refused."),
    (r"address already in use", "its port is in use."),
    # no version has this number: the file that tells it holds nothing
    (r"initialized with PG_CONTROL_VERSION 0\b", causes.DAMAGED),
    (r"database files are incompatible|was initialized by PostgreSQL version",
     "its data are of another version."),
    (r"permission denied|has (wrong ownership|invalid permissions)",
     "it may not use one of its files."),
    (r"invalid (primary )?checkpoint record|could not locate a valid checkpoint"
     r"|could not locate required checkpoint|incorrect checksum"
     r"|checksum (verification failed|error)|invalid page|corrupt"
     r"|WAL ends before|is not a valid data directory|could not read file"
     r"|could not open file|incomplete startup packet in file|invalid data in file",
     causes.DAMAGED),
    (r"data directory .{0,200} does not exist|could not access directory",
     "its directory is missing."),
    (r"requested WAL segment .{0,60} has already been removed",
     "its write-ahead log grew faster than it was read."),
    (r"can only write single tablespace", "it has tablespaces outside of its directory."),
    (r"lock file .{0,200} already exists|pre-existing shared memory block",
     "another server uses its files."),
    (r"connection to server .{0,200} failed", "the database does not answer."),
    (r"terminated by signal \d+: (segmentation|aborted|bus)", "it crashed."),
)


def find(text: str) -> str:
    """Return the cause of the last failure in a text, as the end of a sentence, or nothing."""
    return causes.of_last_life(text, _CAUSES, _BEGIN, _WELL, _OF_CLIENTS)


def of_program(text: str) -> str:
    """Return why a program beside the server failed; it says what the server said to it."""
    return causes.most_certain(text[-causes.LOOKED_AT:].splitlines(), _CAUSES)
