"""Refusals of Nova, each with its HTTP status; the text is what the client sees."""

from __future__ import annotations

from trove_ng.standalone.minicloud.nova_call import CloudFault


class NovaFault(CloudFault):
    """A refusal of Nova."""


class BadRequest(NovaFault):
    """The request makes no sense (400)."""


class NotFound(NovaFault):
    """There is no such thing, or it belongs to somebody else (404)."""


def bad_request(message: str) -> BadRequest:
    """Return a 400."""
    return BadRequest(400, message)


def forbidden(message: str) -> NovaFault:
    """Return a 403."""
    return NovaFault(403, message)


def not_found(message: str) -> NotFound:
    """Return a 404."""
    return NotFound(404, message)


def conflict(message: str) -> NovaFault:
    """Return a 409."""
    return NovaFault(409, message)


def server_error(message: str) -> NovaFault:
    """Return a 500."""
    return NovaFault(500, message)
