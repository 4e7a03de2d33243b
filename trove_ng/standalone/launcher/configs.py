"""Configuration files of the minicloud and the Trove services, and how these run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trove_ng.common.clock import SystemClock
from trove_ng.domain.certificates import create_authority
from trove_ng.standalone.launcher import broker
from trove_ng.standalone.launcher.clients import DOMAIN
from trove_ng.standalone.launcher.credentials import Credentials, write_private
from trove_ng.standalone.launcher.layout import TROVE_SERVICES, Layout, Settings
from trove_ng.standalone.launcher.supervision import Program

SERVICE_USER = "trove"
_AUTHORITY_DAYS = 3650

#: user, project, roles, name of its password
_USERS = (
    ("admin", "admin", ("admin",), "admin_password"),
    ("demo", "demo", ("member",), "demo_password"),
    ("alt", "alt", ("member",), "alt_password"),
    (SERVICE_USER, "service", ("admin", "service", "ResellerAdmin"), "service_password"),
)

Sections = dict[str, dict[str, str]]


def write_files(layout: Layout, settings: Settings, credentials: Credentials) -> None:
    """Write the files, for root only: they hold passwords and keys."""
    write_private(layout.minicloud_conf, json.dumps(
        _minicloud(layout, settings, credentials), indent=2) + "\n")
    _make_authority(layout)
    write_private(layout.trove_conf, render(_trove(layout, settings, credentials)))
    write_private(guest_conf(layout), render(_guest(settings, credentials)))


def _make_authority(layout: Layout) -> None:
    """Make the authority that issues certificates to databases, once."""
    certificate, key = layout.authority
    if not (certificate.exists() and key.exists()):
        texts = create_authority("All-in-one", _AUTHORITY_DAYS, SystemClock().now())
        write_private(key, texts[1].reveal())
        # clients read it
        write_private(certificate, texts[0], mode=0o644)


def guest_conf(layout: Layout) -> Path:
    """Return where the agents' part of the configuration is."""
    return layout.etc / "trove-guestagent.conf"


def programs(layout: Layout) -> list[Program]:
    """Return the services as supervisord runs them."""
    scripts = Path(sys.executable).parent
    found = [Program("minicloud", [
        str(scripts / "trove-minicloud"), "--config", str(layout.minicloud_conf)])]
    found += [Program(name, [
        str(scripts / name), "--config-file", str(layout.trove_conf),
        "--config-dir", str(layout.trove_conf_dir)], stop_seconds=40) for name in TROVE_SERVICES]
    return found


def render(sections: Sections) -> str:
    """Return a file for oslo.config."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        # $ begins a substitution
        lines += [f"{name} = {value.replace('$', '$$')}" for name, value in options.items()]
        lines.append("")
    return "\n".join(lines)


def _minicloud(layout: Layout, settings: Settings, credentials: Credentials,
               ) -> dict[str, object]:
    port = settings.ports["minicloud"]
    return {
        "state_dir": str(layout.state_dir),
        "port": port,
        "listen": _listen(settings),
        "public_url": f"http://{settings.client_address}:{port}",
        "trove_url": settings.api_url,
        "region": settings.region,
        "network_cidr": settings.cidr,
        "public_cidr": settings.public_cidr,
        "other_regions": {
            name: {"network_cidr": servers.cidr, "public_cidr": public.cidr}
            for name, (servers, public) in settings.networks.items()
            if name != settings.region},
        "users": [
            {"name": name, "password": credentials[secret].reveal(), "project": project,
             "roles": list(roles)} for name, project, roles, secret in _USERS],
    }


def _listen(settings: Settings) -> list[str]:
    """Return the minicloud's addresses; guests reach the object store at the gateway."""
    everywhere = "0.0.0.0"  # noqa: S104 - only what the user asked for
    if settings.bind in ("", everywhere):
        # it includes the gateway, which could not be bound a second time
        return [everywhere]
    return list(dict.fromkeys([settings.bind, settings.gateway]))


def _trove(layout: Layout, settings: Settings, credentials: Credentials) -> Sections:
    ports = settings.ports
    return {
        "DEFAULT": {
            "region": settings.region,
            "transport_url": broker.transport_url(
                broker.USER, credentials["broker_password"], "127.0.0.1", ports["rabbitmq"]),
            "taskmanager_rpc_encr_key": credentials["control_key"].reveal(),
            "inst_rpc_key_encr_key": credentials["instance_key"].reveal(),
            "bind_host": settings.bind,
            "bind_port": str(ports["api"]),
            "trove_api_workers": "2",
            "guest_config": str(guest_conf(layout)),
            "guest_object_store_url":
                f"http://{settings.gateway}:{ports['minicloud']}/object",
            "guest_object_store_urls": ",".join(
                f"{name}:http://{settings.gateway}:{ports['minicloud']}/regions/{name}/object"
                for name in settings.regions[1:]),
            "default_datastore": "mariadb",
            "sweep_interval": "2",
            "reconcile_interval": "15",
            "log_archive_interval": "15",
        },
        "database": {"connection": settings.database_url},
        "keystone_authtoken": {
            **_service(settings, credentials), "auth_type": "password",
            "www_authenticate_uri": settings.identity_url,
            "service_token_roles_required": "true",
        },
        "service_credentials": _service(settings, credentials),
        "tls": {"ca_certificate": str(layout.authority[0]),
                "ca_private_key": str(layout.authority[1])},
        "metrics": {"enabled": "true", "bind_host": "127.0.0.1", **{
            f"{name.removeprefix('trove-')}_port": str(ports[f"metrics of {name}"])
            for name in TROVE_SERVICES}},
    }


def _service(settings: Settings, credentials: Credentials) -> dict[str, str]:
    return {
        "auth_url": settings.identity_url, "username": SERVICE_USER,
        "password": credentials["service_password"].reveal(), "project_name": "service",
        "user_domain_name": DOMAIN, "project_domain_name": DOMAIN}


def _guest(settings: Settings, credentials: Credentials) -> Sections:
    return {"DEFAULT": {
        "transport_url": broker.transport_url(
            broker.GUEST_USER, credentials["broker_guest_password"], settings.gateway,
            settings.ports["rabbitmq"]),
        "report_interval": "5",
    }}
