"""``openstack database backup verify``: what the released client does not know of backups."""

from __future__ import annotations

import argparse

from trove_ng.osc.commands import OfOne


class VerifyBackup(OfOne):
    """Restore a backup where nobody sees it, and look through the data."""

    of = "backup"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for it; ``openstack database backup show`` tells what was found."""
        found = self.client.find("backups", "backups", parsed_args.backup)
        self.client.request("POST", f"backups/{found['id']}/action", {"verify": {}})
