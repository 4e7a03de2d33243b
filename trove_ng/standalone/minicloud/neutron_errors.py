"""Refusals of Neutron: HTTP status, Neutron's name of the error, and the text."""

from __future__ import annotations

from trove_ng.standalone.minicloud.nova_call import CloudFault


class NeutronFault(CloudFault):
    """A refusal of Neutron."""


def bad_request(kind: str, message: str) -> NeutronFault:
    """Return a 400."""
    return NeutronFault(400, message, kind)


def invalid_input(message: str) -> NeutronFault:
    """Return a 400 for input that cannot be served."""
    return NeutronFault(400, f"Invalid input for operation: {message}", "InvalidInput")


def forbidden(rule: str) -> NeutronFault:
    """Return a 403 for what a policy rule does not allow."""
    return NeutronFault(
        403, f"({rule}) is disallowed by policy", "PolicyNotAuthorized")


def not_found(kind: str, message: str) -> NeutronFault:
    """Return a 404."""
    return NeutronFault(404, message, kind)


def conflict(kind: str, message: str) -> NeutronFault:
    """Return a 409."""
    return NeutronFault(409, message, kind)
