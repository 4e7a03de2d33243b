"""The guest agent's process."""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import sys
import threading
from typing import TYPE_CHECKING

from oslo_config import cfg

from trove_ng.common import threads
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import TroveError
from trove_ng.conf import base, guestagent, rpc
from trove_ng.guestagent.os import memory

if TYPE_CHECKING:
    from trove_ng.guestagent.releases import Releases

PROG = "trove-guestagent"
LOG = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the agent until SIGTERM or SIGINT.

    :param argv: arguments without the program's name; None takes the process's own
    :return: 0 after a clean end, 1 if the agent cannot run here
    """
    try:
        conf = base.load(argv, prog=PROG, registrars=(rpc.register, guestagent.register))
    except cfg.Error as err:
        sys.stderr.write(f"{PROG}: {err}\n")
        return 1
    threads.use_native_threads()
    memory.keep_in_one_place()
    from trove_ng.guestagent import agent
    from trove_ng.guestagent.releases import Releases

    state_dir = pathlib.Path(conf.state_path)
    releases = Releases(state_dir / "releases", conf.datastore_manager or "")
    releases.become(sys.argv[1:] if argv is None else argv,
                    conf.guest_agent.release_trial_time)
    try:
        with agent.only_agent(state_dir):
            _run(conf, releases)
    except (agent.AgentError, TroveError) as err:
        LOG.error("the agent cannot run: %s", err)
        return 1
    return 0


def _run(conf: cfg.ConfigOpts, releases: Releases) -> None:
    from trove_ng.guestagent import agent, bus
    from trove_ng.guestagent.os import commands
    from trove_ng.rpc import keys

    # Databases run from here: what is secret gets its mode explicitly.
    os.umask(0o022)
    agent.check_identity(conf)
    # What this agent runs can be found by the next one, should this one be killed.
    os.environ[commands.MARK] = conf.guest_id
    make_manager = agent.load_manager(conf.datastore_manager)
    try:
        line = bus.AgentBus(conf)
    except keys.KeysMissing as err:
        raise agent.AgentError(str(err)) from err
    context = agent.make_context(conf, SystemClock(), line.reporter)
    running = agent.Agent(make_manager(context), line, base.version(),
                          releases)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: running.end())
    running.run()
    if running.again:
        releases.start_over(sys.orig_argv)
    _leave(threading.enumerate())


def _leave(alive: list[threading.Thread]) -> None:
    """End the process although the bus's library waits for a broker that is away."""
    lingering = [thread.name for thread in alive
                 if thread is not threading.main_thread() and not thread.daemon]
    if lingering:
        LOG.info("threads that do not end: %s", ", ".join(lingering))
        logging.shutdown()
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
