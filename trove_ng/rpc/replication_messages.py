"""The messages about instances that follow another one."""

from __future__ import annotations

from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import Message, OrderedRequest, StepRequest, UserSpec

#: key of a heartbeat's details under which an agent tells the seconds between two of them
INTERVAL = "interval"
#: what they tell at most
LONGEST = 600
#: key of a heartbeat's details under which a replica tells ``lag`` (seconds, None if it does not
#: follow) and ``position`` (of the last change that it applied), and what follows here
REPLICATION = "replication"
#: whether it hears its source; not told by agents that do not look
CONNECTED = "connected"
#: whether it applies what it hears: else its data are those of some time ago
APPLIES = "applies"
#: seconds that it was behind when it last heard its source; None if that is not known
LAST_LAG = "last_lag"
#: seconds since it last heard its source; told only while it tries to and nothing answers there
UNHEARD = "unheard"
#: how far the changes go that it received, see :class:`Position`
PROGRESS = "progress"
#: of what those are changes, see :class:`Position`; not told where there is but one history
HISTORY = "history"


class ReplicaAccounts(OrderedRequest, frozen=True, kw_only=True):
    """Which accounts for replicas a source has; all others of this kind go.

    :param keep: names of those that stay as they are
    :param add: one that is made, or gets this password
    """

    keep: list[str] = []
    add: UserSpec | None = None


class FollowRequest(StepRequest, frozen=True, kw_only=True):
    """Follow a source, which is another instance.

    :param host: its address
    :param user: the account that this replica has there
    :param position: what the backup says that the data are from; None: the data are what this
        server has followed, or written, until now
    :param authority: PEM, what the source's certificate is verified with, over TLS; empty: the
        source speaks none
    :param named: its certificate is for its address
    """

    host: str
    port: int
    user: str
    password: Secret
    position: dict[str, str] | None = None
    authority: str = ""
    named: bool = False


class DetachRequest(StepRequest, frozen=True, kw_only=True):
    """Follow nobody any more.

    :param hold: clients may not write yet: the server is about to have another role
    :param keep: names of the accounts of its own replicas, where those came with the data
    """

    hold: bool = False
    keep: list[str] = []


class Position(Message, frozen=True, kw_only=True):
    """How far the changes go that a server has.

    :param position: in the words of the datastore; of a set's servers, one that has another's
        position has all that it had then
    :param progress: rises with each change; of servers that followed the same one, the one with
        the greatest has most; below 0: it has no data yet
    :param history: of what the progress counts: that of others is of other changes; empty:
        there is but one
    :param silent: seconds since it heard its source, which a history can be told by; None: it
        does not know
    """

    position: str
    progress: int = 0
    history: str = ""
    silent: int | None = None


class PositionRequest(Position, frozen=True, kw_only=True):
    """Wait until a replica has all changes up to a position.

    :param seconds: the longest that it waits
    """

    seconds: float
