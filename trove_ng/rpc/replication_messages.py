"""The messages about instances that follow another one."""

from __future__ import annotations

from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import Message, StepRequest, UserSpec


class ReplicaAccounts(Message, frozen=True, kw_only=True):
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
    """

    host: str
    port: int
    user: str
    password: Secret
    position: dict[str, str] | None = None
