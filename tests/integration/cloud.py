"""An all-in-one, and its users' clients."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pymysql
import requests

BIN = Path(sys.executable).parent
#: all tests but those about regions have the first one
REGIONS = ("RegionOne", "RegionTwo")


class ClientError(AssertionError):
    """A client command failed."""


class AllInOne:
    """A running all-in-one and its users' clients."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def standalone(self, *args: str, timeout: float = 300) -> str:
        """Run ``trove-standalone`` and return what it printed."""
        done = subprocess.run(
            [BIN / "trove-standalone", *args, "--state-dir", self.state_dir],
            capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise ClientError(f"trove-standalone {args}: {done.stdout}{done.stderr}")
        return done.stdout

    def environment(self, openrc: str) -> dict[str, str]:
        """Return the variables that sourcing an openrc file exports."""
        env = {key: value for key, value in os.environ.items()
               if not key.startswith("OS_")}
        for line in (self.state_dir / openrc).read_text().splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                key, _, value = words[1].partition("=")
                env[key] = value
        return env

    def run(self, program: str, *args: str, openrc: str = "openrc",
            timeout: float = 120) -> str:
        """Run a client; raise ClientError unless it ends with 0."""
        done = self.attempt(program, *args, openrc=openrc, timeout=timeout)
        if done.returncode:
            raise ClientError(f"{program} {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def attempt(self, program: str, *args: str, openrc: str = "openrc",
                timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a client, whatever it returns."""
        return subprocess.run(
            [BIN / program, *args], env=self.environment(openrc),
            capture_output=True, text=True, timeout=timeout)

    def openstack(self, *args: str, openrc: str = "openrc") -> Any:
        """Run ``openstack`` with JSON output and return it."""
        return json.loads(self.run("openstack", *args, "-f", "json", openrc=openrc) or "null")

    def rest(self, openrc: str = "openrc") -> Rest:
        """Return a plain REST client for the user of an openrc file."""
        return Rest(self.environment(openrc))

    def wait_status(self, instance: str, wanted: str, seconds: float = 120,
                    openrc: str = "openrc") -> dict[str, Any]:
        """Wait until an instance has a status; fail at once on ERROR."""
        rest = self.rest(openrc)
        deadline = time.monotonic() + seconds
        while True:
            shown = rest.get(f"/instances/{instance}").json()["instance"]
            if shown["status"] == wanted:
                return dict(shown)
            if shown["status"] == "ERROR" and wanted != "ERROR":
                raise ClientError(f"{instance} is in ERROR: {shown.get('fault')}")
            if time.monotonic() > deadline:
                raise ClientError(f"{instance} is {shown['status']}, not {wanted}")
            time.sleep(0.5)

    def wait_gone(self, instance: str, seconds: float = 120,
                  openrc: str = "openrc") -> None:
        """Wait until an instance answers 404."""
        rest = self.rest(openrc)
        deadline = time.monotonic() + seconds
        while rest.get(f"/instances/{instance}", check=False).status_code != 404:
            if time.monotonic() > deadline:
                raise ClientError(f"{instance} is still there")
            time.sleep(0.5)

    def wait_backup(self, backup: str, wanted: str = "COMPLETED",
                    seconds: float = 120) -> dict[str, Any]:
        """Wait until a backup has a state."""
        rest = self.rest()
        deadline = time.monotonic() + seconds
        while True:
            shown = rest.get(f"/backups/{backup}").json()["backup"]
            if shown["status"] == wanted:
                return dict(shown)
            if shown["status"] == "FAILED" or time.monotonic() > deadline:
                raise ClientError(f"backup {backup} is {shown}, not {wanted}")
            time.sleep(0.5)

    def wait_operations(self, resource: str, seconds: float = 60) -> None:
        """Wait until all operations on a resource have succeeded."""
        rest = self.rest()
        deadline = time.monotonic() + seconds
        while True:
            found = rest.get(f"/operations?resource_id={resource}").json()["operations"]
            if all(one["status"] == "SUCCEEDED" for one in found):
                return
            ended = [one for one in found if one["status"] in ("FAILED", "CANCELLED")]
            if ended or time.monotonic() > deadline:
                raise ClientError(f"operations on {resource}: {found}")
            time.sleep(0.5)


class Rest:
    """Requests with a project's token."""

    def __init__(self, env: dict[str, str]) -> None:
        body = {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": env["OS_USERNAME"], "password": env["OS_PASSWORD"],
                "domain": {"name": env["OS_USER_DOMAIN_NAME"]}}}},
            "scope": {"project": {
                "name": env["OS_PROJECT_NAME"],
                "domain": {"name": env["OS_PROJECT_DOMAIN_NAME"]}}}}}
        answer = requests.post(env["OS_AUTH_URL"] + "/auth/tokens", json=body, timeout=30)
        answer.raise_for_status()
        token = answer.json()["token"]
        self.project_id: str = token["project"]["id"]
        self.catalog = {entry["type"]: entry["endpoints"][0]["url"]
                        for entry in token["catalog"]}
        self.base = self.catalog["database"].rstrip("/")
        self.session = requests.Session()
        self.session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]

    def request(self, method: str, path: str, *, check: bool = True,
                **kwargs: Any) -> requests.Response:
        """Send a request below the project's endpoint."""
        answer = self.session.request(
            method, self.base + path, timeout=60, **kwargs)
        if check and answer.status_code >= 400:
            raise ClientError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        return self.request("POST", path, json=body, **kwargs)

    def service(self, kind: str, path: str) -> Any:
        """GET from another service of the catalog and return its JSON."""
        answer = self.session.get(self.catalog[kind].rstrip("/") + path, timeout=30)
        answer.raise_for_status()
        return answer.json()


def connect(address: str, user: str, password: str, database: str | None = None,
            source: str | None = None) -> pymysql.Connection[Any]:
    """Log in to an instance over the network, as a customer's program does."""
    return pymysql.connect(host=address, user=user, password=password,
                           database=database, connect_timeout=5, bind_address=source)


def rows(connection: pymysql.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
