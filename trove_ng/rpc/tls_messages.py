"""The messages about the certificates of database servers."""

from __future__ import annotations

from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import Message, StepRequest


class TlsRequest(StepRequest, frozen=True, kw_only=True):
    """Speak TLS with clients, or no more.

    Certificates and keys are PEM.

    :param mode: one of :data:`trove_ng.common.tls.MODES`; None: no TLS
    :param certificate: the server's own one, then those between it and the authority
    :param key: its private key, not encrypted
    :param authority: what certificates are verified with, those of clients too
    :param reference: where the key manager has it; empty: the operator's authority issued it
    :param renewal: it takes the place of the one before, which is not gone back to
    """

    mode: str | None = None
    certificate: str = ""
    key: Secret | None = None
    authority: str = ""
    reference: str = ""
    renewal: bool = False


class TlsRollback(StepRequest, frozen=True, kw_only=True):
    """Go back to what was in force before.

    :param undo: only what this operation itself changed, which may be nothing
    """

    undo: bool = False


class TlsResult(Message, frozen=True, kw_only=True):
    """What became of it.

    :param restart_required: the server has to be started again for it
    """

    restart_required: bool = False


class TlsEntry(Message, frozen=True, kw_only=True):
    """How a server speaks, or spoke, with its clients; see :class:`TlsRequest`."""

    mode: str | None = None
    certificate: str = ""
    authority: str = ""
    reference: str = ""


class TlsState(Message, frozen=True, kw_only=True):
    """What a server has.

    :param previous: what a rollback puts in force; None: nothing was before
    """

    current: TlsEntry
    previous: TlsEntry | None = None
