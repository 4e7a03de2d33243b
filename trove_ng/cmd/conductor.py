"""The conductor's process."""

from __future__ import annotations

import sys

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.cmd.metrics import Metrics
from trove_ng.common.metrics import CONDUCTOR
from trove_ng.conf import base, conductor, database, metrics, rpc

PROG = "trove-conductor"


def main(argv: list[str] | None = None) -> int:
    """Run a conductor until SIGTERM or SIGINT.

    :param argv: arguments without the program's name; None takes the process's own
    :return: 0 after a clean end, 1 if it cannot run
    """
    process.prepare()
    try:
        conf = base.load(argv, prog=PROG, registrars=(
            database.register, rpc.register, conductor.register, metrics.register))
    except cfg.Error as err:
        return process.refuse(PROG, err)
    from trove_ng.conductor.service import Service
    from trove_ng.rpc.keys import KeysMissing

    try:
        measured = Metrics(conf, CONDUCTOR)
        service = Service(conf, measured.recorder)
    except (KeysMissing, OSError) as err:
        return process.refuse(PROG, err)
    measured.serve(service.database)
    return process.run(service)


if __name__ == "__main__":
    sys.exit(main())
