"""The messages about the archive of a database's log, beside those of
:mod:`trove_ng.rpc.messages`."""

from __future__ import annotations

from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import Count, Message, Moment, Name, ObjectStoreGrant, StoredBackup

#: in the record of a backup: the log that continues it, and the number of its first part there
STREAM, NUMBER = "log_stream", "log_number"
#: in the record of a backup: when it ended, by the server's clock, in Unix seconds
ENDED = "log_time"


class LogPosition(Message, frozen=True, kw_only=True):
    """A place in a database's log.

    :param stream: names the log; another life of the data has another one
    :param number: of the next part, as the server counts them
    """

    stream: Name
    number: Count


class ArchiveRequest(Message, frozen=True, kw_only=True):
    """Store the log that is not archived yet, up to now.

    :param after: all before it is archived; None: nothing is
    :param key: what to encrypt with, 32 bytes in URL-safe base64; None leaves it as it is
    :param seconds: after which no further part is begun
    """

    grant: ObjectStoreGrant
    after: LogPosition | None = None
    key: Secret | None = None
    seconds: float = 30.0


class ArchivedLog(Message, frozen=True, kw_only=True):
    """What was stored.

    :param begin: the first part of the log
    :param end: number of the part after the last one
    :param until: Unix time by the server's clock up to which all changes are stored; None: it
        is not reached, and there is more to store
    """

    stored: StoredBackup
    begin: LogPosition
    end: Count
    until: Moment | None = None
