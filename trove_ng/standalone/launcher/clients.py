"""The files that clients of an all-in-one use."""

from __future__ import annotations

import itertools
import json
import shlex

from trove_ng.standalone.launcher.credentials import Credentials, write_private
from trove_ng.standalone.launcher.layout import Layout, Settings

DOMAIN = "Default"

#: file, cloud name, user, project, name of its password
USERS = (
    ("openrc", "trove-demo", "demo", "demo", "demo_password"),
    ("openrc-alt", "trove-alt", "alt", "alt", "alt_password"),
    ("openrc-admin", "trove-admin", "admin", "admin", "admin_password"),
)


def write_files(layout: Layout, settings: Settings, credentials: Credentials) -> None:
    """Write openrc files and clouds.yaml, for root only.

    Those of another region than the services' have its name behind theirs: it has no
    database service, what is made there is seen with its own.
    """
    clouds = {}
    for region, (name, cloud, user, project, secret) in itertools.product(
            settings.regions, USERS):
        suffix = "" if region == settings.region else f"-{region}"
        password = credentials[secret].reveal()
        auth = {
            "auth_url": settings.identity_url,
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_name": DOMAIN,
            "project_domain_name": DOMAIN,
        }
        clouds[f"{cloud}{suffix}"] = {
            "auth": auth, "region_name": region, "interface": "public",
            "identity_api_version": "3"}
        variables = {
            **{f"OS_{key.upper()}": value for key, value in auth.items()},
            "OS_REGION_NAME": region,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_INTERFACE": "public",
        }
        lines = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
        write_private(layout.state_dir / f"{name}{suffix}", "\n".join(lines) + "\n")
    # JSON is YAML
    write_private(
        layout.state_dir / "clouds.yaml", json.dumps({"clouds": clouds}, indent=2) + "\n")
