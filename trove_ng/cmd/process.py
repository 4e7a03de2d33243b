"""What the processes of the services have in common."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Protocol

from trove_ng.common.threads import use_native_threads

LOG = logging.getLogger(__name__)


class Service(Protocol):
    """What a process runs."""

    def start(self) -> None:
        """Begin to work, and return."""

    def stop(self) -> None:
        """End the work in an orderly way."""


def prepare() -> None:
    """Choose native threads, before a library chooses."""
    use_native_threads()


def refuse(prog: str, why: Exception) -> int:
    """Say on standard error why a program does not run; return its exit code."""
    sys.stderr.write(f"{prog}: {why}\n")
    return 1


def run(service: Service) -> int:
    """Run a service until SIGTERM or SIGINT and return the exit code.

    Its start waits for a broker or a store that is not there yet; it can be ended
    meanwhile.
    """
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ending.set())
    failed: list[BaseException] = []
    started = threading.Event()

    def start() -> None:
        try:
            service.start()
            started.set()
        except BaseException as err:
            LOG.exception("the service could not start")
            failed.append(err)
            ending.set()

    threading.Thread(target=start, name="start", daemon=True).start()
    ending.wait()
    if not started.is_set():
        LOG.info("the service ends before its start was done")
        logging.shutdown()
        os._exit(1 if failed else 0)
    # A library's thread that waits for a broker must not keep the process.
    watchdog = threading.Timer(30, _give_up)
    watchdog.daemon = True
    watchdog.start()
    service.stop()
    logging.shutdown()
    os._exit(0)


def _give_up() -> None:
    LOG.error("the service did not end within 30 seconds")
    logging.shutdown()
    os._exit(1)
