"""A taskmanager that kills itself at a point of a run-book.

usage: python -m tests.dying_taskmanager ACTION POINT [OPTION…]

Points are those of :data:`trove_ng.operations.engine.Observer`; ``never`` makes it a
taskmanager like any other.  Unless its configuration says something else, its leases are
short, so that another one takes over soon.
"""

from __future__ import annotations

import os
import signal
import sys

from trove_ng.cmd import process, taskmanager
from trove_ng.operations.work import Work

#: seconds
LEASE = 4


def main(action: str, point: str, argv: list[str]) -> int:
    """Run until the point is reached, or a signal comes."""
    process.prepare()
    conf = taskmanager.load(argv)
    conf.set_default("lease", LEASE, group="operations")
    from trove_ng.taskmanager.service import Service

    def observe(work: Work, passed: str) -> None:
        if (work.action, passed) == (action, point):
            os.kill(os.getpid(), signal.SIGKILL)

    return process.run(Service(conf, observe=observe))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
