"""The taskmanager's process."""

from __future__ import annotations

import sys

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.conf import base, cloud, database, operations, quota, rpc, taskmanager

PROG = "trove-taskmanager"


def main(argv: list[str] | None = None) -> int:
    """Run a taskmanager until SIGTERM or SIGINT.

    :param argv: arguments without the program's name; None takes the process's own
    :return: 0 after a clean end, 1 if it cannot run
    """
    process.prepare()
    try:
        conf = base.load(argv, prog=PROG, registrars=(
            database.register, rpc.register, quota.register, operations.register,
            cloud.register, taskmanager.register))
    except cfg.Error as err:
        return process.refuse(PROG, err)
    from trove_ng.rpc.keys import KeysMissing
    from trove_ng.taskmanager.service import Service

    try:
        service = Service(conf)
    except KeysMissing as err:
        return process.refuse(PROG, err)
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
