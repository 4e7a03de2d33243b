"""Agents without a database: the real parts that speak on the bus, and scripted work."""

from __future__ import annotations

import base64
import configparser
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from oslo_config import cfg

from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.heartbeat import Heart
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.steps import StepEngine, StepStore
from trove_ng.guestagent.storage.swift import checksum
from trove_ng.guestagent.storage.upload import SegmentWriter
from trove_ng.rpc import guest as guest_rpc
from trove_ng.rpc import keys
from trove_ng.rpc import messages as m
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.endpoint import Endpoint, Method
from trove_ng.rpc.transport import get_transport, start_server
from trove_ng.standalone.minicloud.hypervisor import NullHypervisor, ServerSpec


class OwnKey:
    """What an agent knows: its own key."""

    def __init__(self, instance_id: str, key: str) -> None:
        self._instance_id, self._key = instance_id, key

    def secrets(self, instance_id: str | None) -> tuple[str, ...]:
        return (self._key,) if instance_id == self._instance_id else ()


class Status:
    """What heartbeats tell."""

    current = ServiceStatus.NEW
    restart_required = False
    reason = ""


class Agent:
    """One agent; its long steps take ``seconds``."""

    def __init__(self, conf: cfg.ConfigOpts, info: configparser.SectionProxy, home: Path,
                 seconds: float) -> None:
        self.instance_id = info["guest_id"]
        self.done: list[str] = []
        self.reported: list[m.StepReport] = []
        self._seconds = seconds
        self._conf = conf
        self._home = home
        self._status = Status()
        provider = OwnKey(self.instance_id, info["instance_rpc_encr_key"])
        self._transport = get_transport(conf)
        reporter = ConductorClient(self._transport, provider, self.instance_id)
        sequence = Sequence(home / "sequence")
        outbox = Outbox(reporter, on_delivered=self._delivered, repeat_after=(3.0, 10.0))
        self._steps = StepEngine(StepStore(home / "steps"), outbox, sequence)
        self._heart = Heart(reporter, self._status, sequence, interval=1, version="test",
                            volume_path=lambda: None)
        table = {name: Method(one.request, one.answer, getattr(
            self, f"_{name}", lambda _caller, _request: m.Empty()))
            for name, one in guest_rpc.GUEST_METHODS.items()}
        self._endpoint = Endpoint(table, keys.guest(self.instance_id), provider, 300)
        self._server: Any = None
        self._ended = threading.Event()
        outbox.start()
        self._heart.start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                self._server = start_server(
                    self._conf, self._transport, guest_rpc.topic(self.instance_id), "guest",
                    self._endpoint)
                return
            except Exception:  # noqa: BLE001 - as the agent does
                self._ended.wait(0.5)

    def _delivered(self, report: m.StepReport) -> None:
        self.reported.append(report)
        self._steps.delivered(report)

    def _work(self, what: str) -> None:
        time.sleep(self._seconds)
        self.done.append(what)
        self._status.current = ServiceStatus.HEALTHY
        self._heart.nudge()

    def _prepare(self, _caller: Any, request: m.PrepareRequest) -> m.Empty:
        def work(_request: Any, _progress: Any) -> m.Message:
            self._work("prepare")
            return m.Empty()

        self._steps.submit(request, work)
        return m.Empty()

    def _create_backup(self, _caller: Any, request: m.BackupRequest) -> m.Empty:
        def work(_request: Any, _progress: Any) -> m.Message:
            self._work("create_backup")
            stream = SegmentWriter(request.grant, request.segment_size, self._home)
            stream.write(b"data")
            stream.close()
            return m.StoredBackup(
                strategy=request.strategy, segments=stream.segments,
                checksum=checksum(stream.segments), size=4, data_size=4)

        self._steps.submit(request, work)
        return m.Empty()

    def _restart(self, _caller: Any, request: m.StepRequest) -> m.Empty:
        def work(_request: Any) -> m.Empty:
            self._work("restart")
            return m.Empty()

        return self._steps.call(request, work, m.Empty)

    def _list_databases(self, _caller: Any, _request: m.PageRequest) -> m.DatabasePage:
        return m.DatabasePage(databases=[m.DatabaseSpec(name="shop")])

    def stop(self) -> None:
        self._ended.set()
        self._heart.stop(1)
        if self._server is not None:
            # the bus may be away, and then stopping waits for it
            threading.Thread(target=self._server.stop, daemon=True).start()


class Hypervisor(NullHypervisor):
    """Starts an agent for each server, as the server's image would."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self.conf: cfg.ConfigOpts
        self.seconds = 0.5
        self.agents: dict[str, Agent] = {}

    def create_server(self, spec: ServerSpec) -> None:
        super().create_server(spec)
        data = spec.config_drive["openstack/latest/user_data"].decode()
        info = configparser.ConfigParser(interpolation=None)
        for entry in yaml.safe_load(data)["write_files"]:
            if entry["path"].endswith("guest_info.conf"):
                info.read_string(base64.b64decode(entry["content"]).decode())
        home = self._home / spec.id
        home.mkdir()
        self.agents[spec.id] = Agent(self.conf, info["DEFAULT"], home, self.seconds)

    def destroy_server(self, server_id: str) -> None:
        super().destroy_server(server_id)
        agent = self.agents.pop(server_id, None)
        if agent is not None:
            agent.stop()

    def agent(self, instance_id: str) -> Agent:
        """Return the agent of an instance."""
        found, = (one for one in self.agents.values() if one.instance_id == instance_id)
        return found
