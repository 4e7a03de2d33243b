"""What a launcher command ends with when it cannot go on."""

from __future__ import annotations


class LauncherError(Exception):
    """The text tells a user what is wrong and what to do."""
