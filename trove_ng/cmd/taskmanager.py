"""The taskmanager's process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from oslo_config import cfg

from trove_ng.cmd import process
from trove_ng.cmd.metrics import Metrics
from trove_ng.common.metrics import TASKMANAGER
from trove_ng.conf import (
    base,
    cloud,
    database,
    metrics,
    operations,
    quota,
    rpc,
    taskmanager,
)

if TYPE_CHECKING:
    from trove_ng.db.session import Database
    from trove_ng.taskmanager.measures import StoreCollector

PROG = "trove-taskmanager"


def main(argv: list[str] | None = None) -> int:
    """Run a taskmanager until SIGTERM or SIGINT.

    :param argv: arguments without the program's name; None takes the process's own
    :return: 0 after a clean end, 1 if it cannot run
    """
    process.prepare()
    try:
        conf = load(argv)
    except cfg.Error as err:
        return process.refuse(PROG, err)
    from trove_ng.rpc.keys import KeysMissing
    from trove_ng.taskmanager.service import Service

    try:
        measured = Metrics(conf, TASKMANAGER)
        service = Service(conf, measured.recorder)
    except (KeysMissing, OSError) as err:
        return process.refuse(PROG, err)
    measured.serve(service.database, lambda: [_counts(conf, service.database)])
    return process.run(service)


def load(argv: list[str] | None) -> cfg.ConfigOpts:
    """Return the configuration of a taskmanager.

    :raises oslo_config.cfg.Error: a file is missing or a value does not fit
    """
    from trove_ng.datastores import options

    return base.load(argv, prog=PROG, registrars=(
        database.register, rpc.register, quota.register, operations.register,
        cloud.register, taskmanager.register, metrics.register, options.register))


def _counts(conf: cfg.ConfigOpts, db: Database) -> StoreCollector:
    from trove_ng.db.clock import StoreClock
    from trove_ng.taskmanager.measures import StoreCollector

    return StoreCollector(db, StoreClock(db), conf.agent_heartbeat_expiry,
                          conf.metrics.store_cache_time)


if __name__ == "__main__":
    sys.exit(main())
