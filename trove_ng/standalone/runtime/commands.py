"""Programs of the host that the runtime calls."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence

from trove_ng.standalone.minicloud.hypervisor import HypervisorError

LOG = logging.getLogger(__name__)

#: programs of iproute2, nftables and util-linux that must be installed
REQUIRED_PROGRAMS = ("ip", "nft", "nsenter", "losetup", "cp", "mkfs.ext4")


def run(argv: Sequence[str], *, text: str | None = None, timeout: float = 60) -> str:
    """Run a program to its end and return what it printed.

    :param text: standard input, empty when None
    :param timeout: seconds
    :raises HypervisorError: it failed, is missing or took too long
    """
    try:
        done = subprocess.run(
            list(argv), input=text or "", capture_output=True, text=True, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HypervisorError(f"{argv[0]} could not run: {error}") from error
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        raise HypervisorError(f"{' '.join(argv)} failed: {reason}")
    return done.stdout
