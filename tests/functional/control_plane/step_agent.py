"""Scripted agents that have the real memory of steps: repeats, lateness and turns are judged.

What the bus asks for goes through the agent's own dispatch and its :class:`StepEngine`; only
the work itself is scripted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.functional.control_plane.conftest import Agent
from tests.functional.control_plane.world import LivingAgent
from trove_ng.guestagent import dispatch
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.steps import Progress, StepEngine, StepStore
from trove_ng.guestagent.storage.http import FullBackupNeeded
from trove_ng.rpc import messages as m
from trove_ng.rpc.endpoint import Caller

#: the steps that each agent did, and what it has
Found = list[tuple[list[str], dict[str, object]]]
#: as the agent itself has them sent again, but sooner
_REPEAT_AFTER = (1.0, 3.0)
_IDS = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
#: what the agent does with itself
_OWN = ("install_agent", "restart_agent", "confirm_agent", "discard_agent")
#: names of what a manager does, where they are not those of the calls
_NAMES = {"stop_database": "stop_db"}


class Scripted:
    """The scripted work of an agent, as the dispatch wants a datastore's manager."""

    prepare_rerun_safe = False
    status = SimpleNamespace(prepared=True)

    def __init__(self, agent: StepAgent) -> None:
        self._agent = agent
        self.upgrades = SimpleNamespace(
            before=agent.work("pre_upgrade"), after=agent.work("post_upgrade"))
        self.modules = SimpleNamespace(
            look=agent.work("module_list"), apply=agent.work("module_apply"),
            remove=agent.work("module_remove"))

    def __getattr__(self, name: str) -> Callable[..., m.Message]:
        return self._agent.work(_NAMES.get(name, name))


class _Numbers:
    """The numbers of an agent's reports, which are those of its heartbeats, too."""

    def __init__(self, agent: StepAgent) -> None:
        self._agent = agent

    def next(self) -> int:
        with self._agent._beating:
            self._agent.sequence += 1
            return self._agent.sequence


class StepAgent(LivingAgent):
    """A living agent with the real engine of steps.

    :ivar done: the steps that were done, in their order, without ids
    """

    def __init__(self, home: Path, *args: Any) -> None:
        self.done: list[str] = []
        self._home, self._disks = home, itertools.count()
        self._results: dict[str, m.Message] = {}
        self._engine: StepEngine | None = None
        super().__init__(*args)

    def _handler(self, name: str) -> Callable[[Caller, Any], m.Message]:
        scripted = Agent._handler(self, name)

        def handle(caller: Caller, request: Any) -> m.Message:
            real = self._table.get(name)
            return scripted(caller, request) if real is None else real(request)

        if self._engine is None:
            self._begin(self._home / str(next(self._disks)))
        return handle

    def _begin(self, disk: Path) -> None:
        """Begin a life with what a disk remembers."""
        self._disk = disk
        self._outbox = Outbox(self._reports, on_delivered=self._delivered,
                              repeat_after=_REPEAT_AFTER)
        self._engine = StepEngine(
            StepStore(disk), self._outbox, _Numbers(self))  # type: ignore[arg-type]
        self._table = dispatch.handlers(
            Scripted(self), self._engine,  # type: ignore[arg-type]
            {one: self.work(one) for one in _OWN})
        self._outbox.start()
        self._engine.recover()

    def _delivered(self, report: m.StepReport) -> None:
        assert self._engine is not None
        self._engine.delivered(report)

    def work(self, name: str) -> Callable[..., Any]:
        """Return the scripted work of a call; it notes that a step is done."""
        handle = Agent._handler(self, name)

        def work(request: Any, _progress: Progress | None = None) -> m.Message:
            answer = handle(Caller("tests", None), request)
            if isinstance(request, m.StepRequest):
                self.done.append(_IDS.sub("{id}", f"{name} {request.step}"))
                return self._results.pop(request.operation_id + request.step, answer)
            return answer

        return work

    def _report(self, request: m.StepRequest, result: m.Message | None) -> None:
        """Leave it to the engine to report what became of long work."""
        self._results[request.operation_id + request.step] = result or m.Empty()

    def _refuse(self, request: m.BackupRequest) -> bool:
        if not self.continues and request.parent is not None:
            raise FullBackupNeeded("The log is not kept any more.")
        return False

    def boot(self) -> None:
        self._end_life()
        self._begin(self._disk)
        super().boot()

    def begin_anew(self) -> None:
        self._end_life()
        self._begin(self._home / str(next(self._disks)))
        super().begin_anew()

    def _end_life(self) -> None:
        assert self._engine is not None
        self._engine.stop(1)
        self._outbox.stop(0)

    def state(self) -> dict[str, object]:
        """Return what the agent has by now, without what differs in each run."""
        return {
            "status": self.status, "overrides": self.overrides,
            "accounts": len(self.accounts), "follows": self.follows is not None,
            "read only": self.read_only, "fenced": self.fenced, "held": self.held is not None,
            "tls": [entry.mode for _, entry in self.tls], "modules": len(self.modules),
            "version": (self.version, self.trial), "root": bool(self.root)}

    def stop(self) -> None:
        self._end_life()
        super().stop()


class StepAgents:
    """Makes agents and knows all that it made."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.made: list[StepAgent] = []

    def __call__(self, *args: Any) -> StepAgent:
        agent = StepAgent(self._home / str(len(self.made)), *args)
        self.made.append(agent)
        return agent

    def forget_done(self) -> None:
        """Have only what is done from now on count."""
        for one in self.made:
            one.done.clear()

    def found(self) -> Found:
        """Return what each agent did, and has; in an order that does not tell who is who."""
        return sorted(((one.done, one.state()) for one in self.made), key=str)
