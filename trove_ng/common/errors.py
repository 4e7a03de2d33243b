"""Errors with a meaning: a stable public name, an HTTP status, a safe message.

An error is raised where the rule is, and mapped to HTTP in one place
(``api.middleware.errors``).  The message of a :class:`TroveError` is shown to the
client, so it never holds a secret or an internal detail; anything that is not
a TroveError reaches the client as a plain 500 without its text.
"""

from __future__ import annotations


class TroveError(Exception):
    """The base of all errors with a public meaning.

    :cvar status: HTTP status code
    :cvar name: key of the error body, for example ``badRequest``
    """

    status = 500
    name = "instanceFault"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(TroveError):
    """The request breaks a rule that the client can read."""

    status = 400
    name = "badRequest"


class Unauthorized(TroveError):
    """No valid token."""

    status = 401
    name = "unauthorized"


class Forbidden(TroveError):
    """The policy, or a rule about ownership, says no."""

    status = 403
    name = "forbidden"


class NotFound(TroveError):
    """The resource does not exist, or not for this caller."""

    status = 404
    name = "itemNotFound"

    @classmethod
    def of(cls, kind: str, ident: str) -> NotFound:
        """Return the error for a resource, the same whether foreign or unknown."""
        return cls(f"{kind} {ident} cannot be found.")


class MethodNotAllowed(TroveError):
    status = 405
    name = "badMethod"


class NotAcceptable(TroveError):
    status = 406
    name = "notAcceptable"


class Conflict(TroveError):
    """The resource exists already, or something else works on it."""

    status = 409
    name = "conflict"


class OverLimit(TroveError):
    """A quota or a rate limit is reached."""

    status = 413
    name = "overLimit"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceeded(OverLimit):
    """Accepting the request would pass a quota."""


class BadMediaType(TroveError):
    status = 415
    name = "badMediaType"


class UnprocessableEntity(TroveError):
    """Well-formed, and not possible in the present state."""

    status = 422
    name = "unprocessableEntity"


class NotSupported(TroveError):
    """The datastore does not offer this; the message says why."""

    status = 501
    name = "notImplemented"


class ServiceUnavailable(TroveError):
    """A part this needs is away for now."""

    status = 503
    name = "serviceUnavailable"

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GuestTimeout(ServiceUnavailable):
    """The guest agent did not answer in time."""


class GuestError(UnprocessableEntity):
    """The guest agent could not do it; the message is the agent's."""


class UnsavedChanges(GuestError):
    """A database would lose changes if it ended now: it has no room to write them."""
