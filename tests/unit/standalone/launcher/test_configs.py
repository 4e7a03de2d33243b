"""Configuration of the minicloud, the Trove services and the agents."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from oslo_config import cfg

from trove_ng.conf import (
    api,
    base,
    cloud,
    database,
    guestagent,
    metrics,
    object_store,
    rpc,
    taskmanager,
)
from trove_ng.standalone.launcher import broker, clients, configs
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.minicloud import config as minicloud

SETTINGS = Settings(3, "127.0.0.1", "mysql+pymysql://u:p$a%20b@db.example/trove")


@pytest.fixture
def one(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "one")
    made.make()
    return made


@pytest.fixture
def credentials(one: Layout) -> Credentials:
    made = Credentials(one.etc / "credentials.json")
    made.load()
    return made


def load(path: Path, *modules: object) -> cfg.ConfigOpts:
    """Read a file as a service does."""
    conf = base.load(
        [f"--config-file={path}"], prog="test", setup_logging=False,
        registrars=[module.register for module in modules])  # type: ignore[attr-defined]
    # what oslo.messaging registers later
    conf.register_opts([cfg.StrOpt("transport_url")])
    return conf


def test_nobody_else_reads_the_files(one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    for path in (one.minicloud_conf, one.trove_conf, one.etc / "trove-guestagent.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_services_read_what_was_decided(one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    conf = load(one.trove_conf, api, cloud, database, rpc, taskmanager)
    # $ would begin a substitution of oslo.config
    assert conf.database.connection == SETTINGS.database_url
    assert conf.taskmanager_rpc_encr_key == [credentials["control_key"].reveal()]
    assert conf.inst_rpc_key_encr_key == [credentials["instance_key"].reveal()]
    assert (conf.bind_host, conf.bind_port) == ("127.0.0.1", SETTINGS.ports["api"])
    assert conf.service_credentials.auth_url == SETTINGS.identity_url
    assert conf.service_credentials.password == credentials["service_password"].reveal()
    assert conf.transport_url == broker.transport_url(
        broker.USER, credentials["broker_password"], "127.0.0.1", SETTINGS.ports["rabbitmq"])


def test_each_service_has_a_metrics_port_of_its_own(
        one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    conf = load(one.trove_conf, metrics)
    assert (conf.metrics.enabled, conf.metrics.bind_host) == (True, "127.0.0.1")
    ports = [conf.metrics.api_port, conf.metrics.taskmanager_port, conf.metrics.conductor_port]
    assert ports == [8840, 8841, 8842]
    assert SETTINGS.metrics_urls == {
        name: f"http://127.0.0.1:{port}/metrics" for name, port in zip(
            ("trove-api", "trove-taskmanager", "trove-conductor"), ports, strict=True)}


def test_the_taskmanager_gives_agents_the_file_that_was_written(
        one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    conf = load(one.trove_conf, api, taskmanager)
    assert Path(conf.guest_config) == configs.guest_conf(one)
    assert Path(conf.guest_config).is_file()
    assert conf.guest_object_store_url == f"http://10.77.3.1:{SETTINGS.ports['minicloud']}/object"


def test_agents_get_their_own_broker_user_and_no_secret_of_the_control_plane(
        one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    conf = load(configs.guest_conf(one), rpc, guestagent)
    url = urlsplit(conf.transport_url)
    assert (url.hostname, url.port) == (SETTINGS.gateway, SETTINGS.ports["rabbitmq"])
    assert url.username == broker.GUEST_USER
    text = configs.guest_conf(one).read_text()
    assert credentials["broker_guest_password"].reveal() in text
    for name in ("broker_password", "service_password", "admin_password", "control_key",
                 "instance_key"):
        assert credentials[name].reveal() not in text


def test_every_option_of_the_services_is_known(one: Layout, credentials: Credentials) -> None:
    """A misspelt option would be ignored in silence."""
    configs.write_files(one, SETTINGS, credentials)
    conf = load(one.trove_conf, api, cloud, database, metrics, rpc, taskmanager)
    section, unknown = "", []
    for line in one.trove_conf.read_text().splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
        elif line and section != "keystone_authtoken":
            name = line.partition(" = ")[0]
            group = conf if section == "DEFAULT" else conf[section]
            if name not in group:
                unknown.append(f"{section}.{name}")
    assert unknown == []


def test_the_minicloud_reads_its_file(one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    made = minicloud.load(one.minicloud_conf)
    assert made.state_dir == one.state_dir
    assert made.network_cidr == SETTINGS.cidr
    assert made.trove_url == SETTINGS.api_url
    assert f"{made.url}/identity/v3" == SETTINGS.identity_url
    users = {user.name: user for user in made.users}
    assert {name: (user.project, user.roles) for name, user in users.items()} == {
        "admin": ("admin", ("admin",)), "demo": ("demo", ("member",)),
        "alt": ("alt", ("member",)),
        "trove": ("service", ("admin", "service", "ResellerAdmin"))}
    for name, secret in (("demo", "demo_password"), ("trove", "service_password")):
        assert users[name].password.reveal() == credentials[secret].reveal()


@pytest.mark.parametrize(("bind", "listen"), [
    ("127.0.0.1", ["127.0.0.1", "10.77.3.1"]),
    ("192.0.2.7", ["192.0.2.7", "10.77.3.1"]),
    ("10.77.3.1", ["10.77.3.1"]),
    ("0.0.0.0", ["0.0.0.0"]),
])
def test_the_minicloud_listens_for_clients_and_servers(
        one: Layout, credentials: Credentials, bind: str, listen: list[str]) -> None:
    configs.write_files(one, Settings(3, bind, "sqlite://"), credentials)
    assert json.loads(one.minicloud_conf.read_text())["listen"] == listen


def test_the_services_run_from_this_environment_with_the_users_own_options(
        one: Layout) -> None:
    programs = {program.name: list(program.command) for program in configs.programs(one)}
    scripts = Path(sys.executable).parent
    assert programs.pop("minicloud") == [
        str(scripts / "trove-minicloud"), "--config", str(one.minicloud_conf)]
    assert sorted(programs) == ["trove-api", "trove-conductor", "trove-taskmanager"]
    for name, command in programs.items():
        assert command == [
            str(scripts / name), "--config-file", str(one.trove_conf),
            "--config-dir", str(one.trove_conf_dir)]


def test_secrets_are_not_on_command_lines(one: Layout, credentials: Credentials) -> None:
    configs.write_files(one, SETTINGS, credentials)
    text = json.dumps([list(program.command) for program in configs.programs(one)])
    values = json.loads((one.etc / "credentials.json").read_text()).values()
    assert values
    assert not [value for value in values if value in text]


def test_each_part_knows_all_regions(one: Layout, credentials: Credentials) -> None:
    settings = dataclasses.replace(SETTINGS, regions=("East", "West"))
    configs.write_files(one, settings, credentials)
    made = minicloud.load(one.minicloud_conf)
    assert (made.region, made.other_regions) == ("East", {"West": {
        "network_cidr": "10.97.3.0/24", "public_cidr": "10.98.3.0/24"}})
    conf = load(one.trove_conf, api, cloud, taskmanager)
    assert (conf.region, cloud.own_region(conf)) == ("East", "East")
    port = settings.ports["minicloud"]
    assert object_store.guest_url(conf, "East") == f"http://10.77.3.1:{port}/object"
    assert object_store.guest_url(conf, None) == f"http://10.77.3.1:{port}/object"
    assert object_store.guest_url(conf, "West") == (
        f"http://10.77.3.1:{port}/regions/West/object")
    assert object_store.guest_url(conf, "North") is None


def test_clients_have_files_for_each_region(one: Layout, credentials: Credentials) -> None:
    settings = dataclasses.replace(SETTINGS, regions=("East", "West"))
    clients.write_files(one, settings, credentials)
    assert "export OS_REGION_NAME=East" in (one.state_dir / "openrc").read_text()
    assert "export OS_REGION_NAME=West" in (one.state_dir / "openrc-West").read_text()
    found = json.loads((one.state_dir / "clouds.yaml").read_text())["clouds"]
    assert {name: entry["region_name"] for name, entry in found.items()} == {
        "trove-demo": "East", "trove-alt": "East", "trove-admin": "East",
        "trove-demo-West": "West", "trove-alt-West": "West", "trove-admin-West": "West"}
