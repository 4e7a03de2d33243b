"""What all engines want of passwords."""

from __future__ import annotations

from trove_ng.common.errors import BadRequest


def check(field: str, password: str, longest: int) -> None:
    """Check a password; its text is in no message.

    :param longest: characters
    :raises BadRequest: it is empty, too long, or has control characters
    """
    if not password or len(password) > longest:
        raise BadRequest(f"Validation error: {field} must have 1 to {longest} characters.")
    if any(ord(one) < 32 or ord(one) == 127 for one in password):
        raise BadRequest(f"Validation error: {field} must not contain control characters.")
