"""A private RabbitMQ node: own name, ports, cookie, data and users."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import secrets
import shutil
import socket
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trove_ng.common.secret import Secret
from trove_ng.standalone.launcher.credentials import Credentials, write_private
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.supervision import Program

VHOST = "trove"
USER = "trove"
GUEST_USER = "trove-guest"
_RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
#: a guest reads its own kind of queues only, never those of the control plane
_GUEST_OWN = r"^(guestagent\..*|reply_.*|trove|openstack|.*_fanout)$"
_GUEST_WRITE = r"^(guestagent\..*|reply_.*|trove|openstack|.*_fanout|amq\.default)$"


def transport_url(user: str, password: Secret, host: str, port: int) -> str:
    """Return the URL for oslo.messaging; it holds the password."""
    return f"rabbit://{user}:{quote(password.reveal(), safe='')}@{host}:{port}/{VHOST}"


def write_config(layout: Layout, settings: Settings, credentials: Credentials) -> None:
    """Write the node's files; its owner is the user that it runs as."""
    owner = run_user(layout.state_dir)
    home = layout.rabbitmq
    ports = settings.ports
    config = [
        f"listeners.tcp.1 = 127.0.0.1:{ports['rabbitmq']}",
        f"listeners.tcp.2 = {settings.gateway}:{ports['rabbitmq']}",
        f"load_definitions = {home}/definitions.json",
        "disk_free_limit.absolute = 200MB",
        "max_message_size = 16777216",
        "vm_memory_high_watermark.relative = 0.3",
        "log.file = false",
        "log.console = true",
        "log.console.level = info",
    ]
    files = {
        "rabbitmq.conf": ("\n".join(config) + "\n", 0o600),
        "definitions.json": (json.dumps(_definitions(credentials), indent=2), 0o600),
        "enabled_plugins": ("[].\n", 0o644),
        ".erlang.cookie": (credentials["erlang_cookie"].reveal(), 0o400),
    }
    for name, (text, mode) in files.items():
        write_private(home / name, text, mode)
        shutil.chown(home / name, owner)
    for name in ("data", "data/log", "generated"):
        (home / name).mkdir(exist_ok=True, mode=0o750)
        shutil.chown(home / name, owner)
    shutil.chown(home, owner)


def programs(layout: Layout, settings: Settings) -> list[Program]:
    """Return the node and its port mapper."""
    home = layout.rabbitmq
    ports = settings.ports
    owner = run_user(layout.state_dir)
    environment = {
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "RABBITMQ_NODENAME": f"trove{settings.index}@localhost",
        "RABBITMQ_DIST_PORT": str(ports["erlang"]),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
        "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/generated",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{home}/data",
        "RABBITMQ_LOG_BASE": f"{home}/data/log",
        "ERL_CRASH_DUMP": f"{home}/data/erl_crash.dump",
        "RABBITMQ_PID_FILE": f"{home}/data/pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    return [
        Program("epmd", [shutil.which("epmd") or "/usr/bin/epmd", "-port", str(ports["epmd"]),
                         "-address", "127.0.0.1"], user=owner),
        Program("rabbitmq", [_RABBITMQ_SERVER], user=owner, environment=environment,
                directory=str(home), stop_seconds=30),
    ]


def run_user(state_dir: Path) -> str:
    """Return ``rabbitmq``, or ``root`` where that user cannot reach the directory."""
    try:
        pwd.getpwnam("rabbitmq")
    except KeyError:
        return "root"
    reachable = all(
        stat.S_IMODE(os.stat(path).st_mode) & stat.S_IXOTH
        for path in (state_dir, *state_dir.parents))
    return "rabbitmq" if reachable else "root"


def answers(host: str, port: int) -> bool:
    """Whether a broker speaks AMQP there."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            # a method frame: connection.start
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def _definitions(credentials: Credentials) -> dict[str, Any]:
    return {
        "vhosts": [{"name": VHOST}],
        "users": [
            _user(USER, credentials["broker_password"]),
            _user(GUEST_USER, credentials["broker_guest_password"]),
        ],
        "permissions": [
            {"user": USER, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"},
            {"user": GUEST_USER, "vhost": VHOST, "configure": _GUEST_OWN,
             "write": _GUEST_WRITE, "read": _GUEST_OWN},
        ],
    }


def _user(name: str, password: Secret) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.reveal().encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }
