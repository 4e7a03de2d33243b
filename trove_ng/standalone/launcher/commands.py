"""The commands of ``trove-standalone``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trove_ng.standalone.launcher import bootstrap, broker, clients, configs, preflight
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import (
    DEFAULT_REGION,
    TROVE_SERVICES,
    Layout,
    Settings,
    check_regions,
    claim_index,
    release_index,
)
from trove_ng.standalone.launcher.progress import Progress, table
from trove_ng.standalone.launcher.supervision import Supervisor, render
from trove_ng.standalone.runtime.hypervisor import NamespaceHypervisor
from trove_ng.standalone.runtime.network import Network, ensure_bridge, remove_bridge

_NOT_RUNNING = 3
#: a database with much to write needs its time to stop
_STOP_SECONDS = 180


@dataclass(frozen=True)
class _Runtime:
    """What the hypervisor needs to know."""

    state_dir: Path


class AllInOne:
    """An all-in-one on this machine.

    :param layout: where it lives
    :param progress: where to tell what happens
    """

    def __init__(self, layout: Layout, progress: Progress) -> None:
        self._layout = layout
        self._progress = progress
        self._supervisor = Supervisor(layout)

    def up(self, bind: str | None = None, database_url: str | None = None,
           regions: Sequence[str] | None = None) -> None:
        """Make the all-in-one if need be, start it, and return when it is ready.

        :param bind: address for the clients' endpoints; None keeps what it was
        :param database_url: the store; None keeps what it was, SQLite at first
        :param regions: names, that of the services first; None keeps what they were,
            one region at first
        :raises LauncherError: with the reason
        """
        preflight.check_machine()
        preflight.check_programs()
        with self._layout.lock():
            settings = self._settle(bind, database_url, regions)
            preflight.check_disk(self._layout.state_dir)
            preflight.check_bind(settings.bind)
            # services listen at its gateway; the others are made with their networks
            ensure_bridge(Network("provider", settings.cidr, settings.gateway))
            if not self._supervisor.running():
                preflight.check_ports(settings.ports, {settings.bind, settings.gateway})
            credentials = self._configure(settings)
            self._start(settings)
            bootstrap.ensure_image(settings, credentials)
            clients.write_files(self._layout, settings, credentials)
        self._progress.say(f"ready: Trove {settings.api_url}, Keystone {settings.identity_url}")
        self._progress.show(f"Use it: source {self._layout.state_dir}/openrc")

    def down(self) -> None:
        """Stop servers and services; all data is kept."""
        preflight.check_machine()
        with self._layout.lock():
            settings = self._layout.settings()
            self._stop()
            _remove_bridges(settings)
        self._progress.say("stopped; 'up' starts it again with its data")

    def destroy(self) -> None:
        """Stop everything and remove every trace."""
        preflight.check_machine()
        if not self._layout.settings_file.exists():
            self._progress.say(f"there is nothing in {self._layout.state_dir}")
            return
        with self._layout.lock():
            settings = self._layout.settings()
            self._stop(quickly=True)
            with self._progress.stage("removing servers, volumes and networks"):
                self._hypervisor().destroy_all()
                _remove_bridges(settings)
            release_index(self._layout.state_dir, settings.index)
            shutil.rmtree(self._layout.state_dir)
        self._progress.say("everything is removed")

    def status(self) -> int:
        """Show services and servers; return 0 when all services run, else 3."""
        preflight.check_machine()
        settings = self._layout.settings()
        if not self._supervisor.running():
            self._progress.show("The all-in-one is stopped; 'up' starts it.")
            return _NOT_RUNNING
        states = self._supervisor.states()
        self._progress.show(table([
            ("SERVICE", "STATE", "PID"),
            *((name, state, str(pid or "-")) for name, (state, pid) in states.items())]))
        servers = self._hypervisor().running_servers()
        if servers:
            self._progress.show()
            self._progress.show(table([
                ("SERVER", "STATE"),
                *((ident, "RUNNING" if runs else "STOPPED") for ident, runs in servers.items())]))
        self._progress.show()
        self._progress.show(f"Trove     {settings.api_url}")
        self._progress.show(f"Keystone  {settings.identity_url}")
        self._progress.show(f"Regions   {', '.join(settings.regions)}")
        for name, url in settings.metrics_urls.items():
            self._progress.show(f"Metrics   {url} ({name})")
        running = all(state == "RUNNING" for state, _ in states.values())
        return 0 if running else _NOT_RUNNING

    def _settle(self, bind: str | None, database_url: str | None,
                regions: Sequence[str] | None) -> Settings:
        """Return the settings, made at the first time, changed where asked."""
        layout = self._layout
        known = layout.settings_file.exists()
        wanted = None if regions is None else check_regions(
            regions, layout.settings().regions if known else ())
        layout.make()
        if known:
            settings = layout.settings()
            claim_index(layout.state_dir, settings.index)
            changed = replace(settings, bind=bind or settings.bind,
                              database_url=database_url or settings.database_url,
                              regions=wanted or settings.regions)
            if changed != settings and self._supervisor.running():
                raise LauncherError(
                    "Run 'down' before --bind, --database-url or --regions is changed.")
            settings = changed
        else:
            settings = Settings(
                claim_index(layout.state_dir), bind or "127.0.0.1",
                database_url or f"sqlite:///{layout.state_dir}/trove.sqlite",
                wanted or (DEFAULT_REGION,))
        layout.save_settings(settings)
        return settings

    def _configure(self, settings: Settings) -> Credentials:
        layout = self._layout
        credentials = Credentials(layout.etc / "credentials.json")
        credentials.load()
        broker.write_config(layout, settings, credentials)
        configs.write_files(layout, settings, credentials)
        programs = [*broker.programs(layout, settings), *configs.programs(layout)]
        layout.supervisord_conf.write_text(render(layout, programs))
        return credentials

    def _start(self, settings: Settings) -> None:
        supervisor, ports = self._supervisor, settings.ports
        supervisor.begin()
        with self._progress.stage("starting RabbitMQ and the minicloud"):
            for name in ("epmd", "rabbitmq", "minicloud"):
                supervisor.start(name)
            # meanwhile
            bootstrap.prepare_store(self._layout)
            supervisor.wait_ready(
                "minicloud", lambda: bootstrap.answers(settings.identity_url), 90)
            supervisor.wait_ready(
                "rabbitmq", lambda: broker.answers("127.0.0.1", ports["rabbitmq"]), 90)
        with self._progress.stage("starting the Trove services"):
            for name in reversed(TROVE_SERVICES):
                supervisor.start(name)
            bootstrap.load_datastores(self._layout, settings.database_url)
            supervisor.wait_ready(
                "trove-api", lambda: bootstrap.answers(f"{settings.api_url}/"), 60)
            for name in TROVE_SERVICES:
                supervisor.wait_ready(name, partial(self._runs, name), 60)

    def _runs(self, name: str) -> bool:
        return self._supervisor.states()[name][0] == "RUNNING"

    def _stop(self, *, quickly: bool = False) -> None:
        running = self._supervisor.running()
        if running:
            with self._progress.stage("stopping the Trove services and the minicloud"):
                for name in (*TROVE_SERVICES, "minicloud"):
                    self._supervisor.stop(name)
        if not quickly:
            with self._progress.stage("stopping the servers"):
                self._hypervisor().stop_all()
        if running:
            with self._progress.stage("stopping RabbitMQ"):
                for name in ("rabbitmq", "epmd"):
                    self._supervisor.stop(name)
                self._supervisor.end()

    def _hypervisor(self) -> NamespaceHypervisor:
        return NamespaceHypervisor(
            _Runtime(self._layout.state_dir), stop_seconds=_STOP_SECONDS)


def _remove_bridges(settings: Settings) -> None:
    for name, networks in settings.networks.items():
        for one in networks:
            remove_bridge(Network(f"of {name}", one.cidr, one.gateway))
