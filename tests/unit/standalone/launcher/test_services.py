"""Configuration of the broker, of supervisord and of the clients."""

from __future__ import annotations

import base64
import configparser
import hashlib
import io
import json
import re
import shlex
import stat
from pathlib import Path

import pytest
import yaml

from trove_ng.common.secret import Secret
from trove_ng.standalone.launcher import broker, clients, supervision
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.progress import Progress, table
from trove_ng.standalone.launcher.supervision import Program

SETTINGS = Settings(3, "127.0.0.1", "sqlite://")


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


def parse(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_a_service_waits_for_its_turn_and_is_started_again_when_it_dies(one: Layout) -> None:
    section = parse(supervision.render(one, [Program("p", ["/bin/p", "a b"])]))["program:p"]
    assert (section["autostart"], section["autorestart"]) == ("false", "true")
    assert shlex.split(section["command"]) == ["/bin/p", "a b"]
    assert section["stdout_logfile"] == f"{one.log}/p.log"


def test_percent_signs_survive_supervisord(one: Layout) -> None:
    text = supervision.render(one, [Program("p", ["p%d"], environment={"A": "50%"})])
    section = parse(text)["program:p"]
    assert section["command"] == "p%%d"
    assert section["environment"] == 'A="50%%"'


def test_only_root_reaches_the_socket(one: Layout) -> None:
    section = parse(supervision.render(one, []))["unix_http_server"]
    assert (section["file"], section["chmod"]) == (str(one.socket), "0700")


def test_the_broker_has_names_ports_and_files_of_its_own(one: Layout) -> None:
    environment = {
        key: value for program in broker.programs(one, SETTINGS)
        for key, value in program.environment.items()}
    assert environment["RABBITMQ_NODENAME"] == "trove3@localhost"
    assert environment["ERL_EPMD_PORT"] == str(SETTINGS.ports["epmd"])
    assert environment["RABBITMQ_DIST_PORT"] == str(SETTINGS.ports["erlang"])
    assert environment["RABBITMQ_MNESIA_BASE"].startswith(str(one.rabbitmq))
    assert environment["RABBITMQ_CONF_ENV_FILE"] == "/dev/null"


def test_the_broker_listens_on_loopback_and_for_servers_only(
        one: Layout, credentials: Credentials) -> None:
    broker.write_config(one, SETTINGS, credentials)
    lines = (one.rabbitmq / "rabbitmq.conf").read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("listeners")) == [
        f"listeners.tcp.1 = 127.0.0.1:{SETTINGS.ports['rabbitmq']}",
        f"listeners.tcp.2 = 10.77.3.1:{SETTINGS.ports['rabbitmq']}"]


def test_the_broker_knows_hashes_of_the_passwords_only(
        one: Layout, credentials: Credentials) -> None:
    broker.write_config(one, SETTINGS, credentials)
    text = (one.rabbitmq / "definitions.json").read_text()
    password = credentials["broker_password"].reveal()
    assert password not in text
    user = next(each for each in json.loads(text)["users"] if each["name"] == broker.USER)
    stored = base64.b64decode(user["password_hash"])
    assert stored[4:] == hashlib.sha256(stored[:4] + password.encode()).digest()


def test_a_guest_cannot_read_the_queues_of_the_control_plane(
        one: Layout, credentials: Credentials) -> None:
    broker.write_config(one, SETTINGS, credentials)
    permissions = json.loads((one.rabbitmq / "definitions.json").read_text())["permissions"]
    guest = next(each for each in permissions if each["user"] == broker.GUEST_USER)
    for queue in ("taskmanager", "trove-conductor", "taskmanager.host"):
        assert not re.search(guest["read"], queue)
        assert not re.search(guest["configure"], queue)
    assert re.search(guest["read"], "guestagent.0a1b")
    assert re.search(guest["read"], "reply_0a1b")


def test_cookie_and_definitions_are_private(one: Layout, credentials: Credentials) -> None:
    broker.write_config(one, SETTINGS, credentials)
    for name, mode in ((".erlang.cookie", 0o400), ("definitions.json", 0o600)):
        assert stat.S_IMODE((one.rabbitmq / name).stat().st_mode) == mode


def test_a_password_in_a_transport_url_is_quoted() -> None:
    url = broker.transport_url("u", Secret("a/b@c"), "10.77.0.1", 5672)
    assert url == "rabbit://u:a%2Fb%40c@10.77.0.1:5672/trove"


def test_nothing_that_is_no_broker_answers() -> None:
    assert broker.answers("127.0.0.1", 1) is False


def test_openrc_and_clouds_agree(one: Layout, credentials: Credentials) -> None:
    clients.write_files(one, SETTINGS, credentials)
    clouds = yaml.safe_load((one.state_dir / "clouds.yaml").read_text())["clouds"]
    assert sorted(clouds) == ["trove-admin", "trove-alt", "trove-demo"]
    for name, cloud, *_ in clients.USERS:
        path = one.state_dir / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        exported = dict(
            shlex.split(line)[1].split("=", 1) for line in path.read_text().splitlines())
        auth = clouds[cloud]["auth"]
        assert exported["OS_USERNAME"] == auth["username"]
        assert exported["OS_PASSWORD"] == auth["password"]
        assert exported["OS_PROJECT_NAME"] == auth["project_name"]
        assert exported["OS_AUTH_URL"] == auth["auth_url"] == SETTINGS.identity_url


def test_stages_tell_their_time() -> None:
    stream = io.StringIO()
    with Progress(stream).stage("working"):
        pass
    begin, end = stream.getvalue().splitlines()
    assert begin.endswith("working ...")
    assert re.fullmatch(r"\[ +\d+\.\ds\] working: done in \d+\.\d s", end)


def test_a_table_has_aligned_columns() -> None:
    lines = table([("A", "LONG"), ("xyz", "1")]).splitlines()
    assert lines == ["A    LONG", "---  ----", "xyz  1"]
