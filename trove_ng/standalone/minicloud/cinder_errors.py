"""Refusals of Cinder, each with its HTTP status; the text is what the client sees."""

from __future__ import annotations

from trove_ng.standalone.minicloud.nova_call import CloudFault


class CinderFault(CloudFault):
    """A refusal of Cinder."""


class BadRequest(CinderFault):
    """The request makes no sense (400)."""


class NotFound(CinderFault):
    """There is no such thing, or it belongs to somebody else (404)."""


def bad_request(message: str) -> BadRequest:
    """Return a 400."""
    return BadRequest(400, message)


def forbidden(message: str) -> CinderFault:
    """Return a 403."""
    return CinderFault(403, message)


def not_found(message: str) -> NotFound:
    """Return a 404."""
    return NotFound(404, message)


def conflict(message: str) -> CinderFault:
    """Return a 409."""
    return CinderFault(409, message)


def over_limit(message: str) -> CinderFault:
    """Return a 413: the quota is used up."""
    return CinderFault(413, message)
