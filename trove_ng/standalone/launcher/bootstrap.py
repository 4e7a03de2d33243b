"""What a fresh all-in-one is filled with: the schema, datastores, an image."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keystoneauth1 import session as ks_session
from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity import v3

from trove_ng.standalone.launcher.clients import DOMAIN
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import Layout, Settings

IMAGE_NAME = "trove-guest"
#: what the demonstration uses, and instances whose request does not say
DATASTORE = "mariadb"
VERSION = "10.11"
#: datastore, which is also its manager's name → version in Debian 12
DATASTORES = {DATASTORE: VERSION, "postgresql": "15", "redis": "7.0"}
IMAGE_TAGS = ("trove", *DATASTORES)


def answers(url: str) -> bool:
    """Whether something answers a GET without a server error."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status < 400)
    except urllib.error.HTTPError as error:
        # 300 Multiple Choices is how versions are announced
        return error.code < 500
    except OSError:
        return False


def prepare_store(layout: Layout) -> None:
    """Bring the store's schema up to date.

    :raises LauncherError: with what trove-manage said
    """
    _manage(layout, "db_sync")


def load_datastores(layout: Layout, database_url: str) -> None:
    """Register the datastores, their versions and their configuration parameters.

    Each once for each store, so that an operator's changes stay.
    """
    marker = layout.etc / "datastores.loaded"
    # a URL may hold a password
    store = hashlib.sha256(database_url.encode()).hexdigest()
    for name, version in DATASTORES.items():
        line = f"{store} {name}"
        if marker.exists() and line in marker.read_text().splitlines():
            continue
        _load_datastore(layout, name, version)
        with marker.open("a") as stream:
            stream.write(f"{line}\n")
        marker.chmod(0o600)


def _load_datastore(layout: Layout, name: str, version: str) -> None:
    _manage(layout, "datastore_update", name, "")
    _manage(layout, "datastore_version_update", name, version, name, "",
            "", "1", "--image-tags", f"trove,{name}", "--version", version)
    _manage(layout, "datastore_update", name, version)
    _manage(layout, "db_load_datastore_config_parameters", name, version)


def ensure_image(settings: Settings, credentials: Credentials) -> None:
    """Make the image of the servers, this machine's own root, where it is not there."""
    with cloud_session(settings, "admin", "admin", credentials, "admin_password") as session:
        for region in settings.regions:
            _ensure_image(session, region)


def _ensure_image(session: ks_session.Session, region: str) -> None:
    catalog = {"service_type": "image", "interface": "public", "region_name": region}
    found = session.get("/v2/images", params={"name": IMAGE_NAME},
                        endpoint_filter=catalog).json()["images"]
    image = found[0] if found else session.post(
        "/v2/images", endpoint_filter=catalog, json={
            "name": IMAGE_NAME, "visibility": "public", "container_format": "bare",
            "disk_format": "raw", "tags": list(IMAGE_TAGS), "rootfs": "/",
            "min_disk": 0, "min_ram": 0}).json()
    for tag in {*IMAGE_TAGS} - {*image["tags"]}:
        session.put(f"/v2/images/{image['id']}/tags/{tag}", endpoint_filter=catalog)
    if image["status"] == "queued":
        session.put(
            f"/v2/images/{image['id']}/file", endpoint_filter=catalog,
            headers={"Content-Type": "application/octet-stream"},
            data=b'{"rootfs": "/"}\n')


@contextmanager
def cloud_session(
    settings: Settings, user: str, project: str, credentials: Credentials, secret: str,
) -> Iterator[ks_session.Session]:
    """Give a session of a user; what goes wrong inside is a LauncherError."""
    auth = v3.Password(
        auth_url=settings.identity_url, username=user, project_name=project,
        password=credentials[secret].reveal(), user_domain_name=DOMAIN,
        project_domain_name=DOMAIN)
    session: Any = ks_session.Session(auth=auth, timeout=60)
    try:
        yield session
    except ClientException as error:
        raise LauncherError(f"A request to the all-in-one failed: {error}") from error


def _manage(layout: Layout, *arguments: str) -> None:
    program = Path(sys.executable).parent / "trove-manage"
    done = subprocess.run(
        [str(program), "--config-file", str(layout.trove_conf),
         "--config-dir", str(layout.trove_conf_dir), *arguments],
        capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise LauncherError(
            f"trove-manage {' '.join(arguments)} failed:\n{done.stderr or done.stdout}")
