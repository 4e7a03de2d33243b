"""Both released clients, unmodified, with every command that they have."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.integration.cloud import AllInOne
from tests.programs import tool
from trove_ng.common.clock import utcnow
from trove_ng.domain.certificates import Authority, create_authority

from .commands import LEGACY, NOT_YET, OPENSTACK, Step


def test_no_command_is_left_out() -> None:
    released = {"openstack " + one.name.replace("_", " ")
                for one in entry_points(group="openstack.database.v1")}
    shown = subprocess.run([Path(sys.executable).parent / "trove", "help"], check=True,
                           capture_output=True, text=True).stdout
    released |= {f"trove {name}" for name in re.findall(r"^    ([a-z][a-z-]+)", shown, re.M)}
    released -= {"trove help", "trove bash-completion"}
    used = {one.command for one in (*LEGACY, *OPENSTACK)}
    assert used | set(NOT_YET) == released
    assert not used & set(NOT_YET)


def test_the_users_page_says_what_becomes_of_each() -> None:
    program = tool("clients-doc")
    shown = program.TARGET.read_text().partition(program.BEGIN)[2].partition(program.END)[0]
    assert shown == program.render(), "run tools/clients-doc.py"


def stored_bundle(cloud: AllInOne, folder: Path) -> str:
    """Return where a certificate and its key are in the key manager."""
    made = Authority(*create_authority("The user's", 2, utcnow())).issue(
        "db.example.org", ["db.example.org"], 1, utcnow())
    path = folder / "bundle.p12"
    path.write_bytes(pkcs12.serialize_key_and_certificates(
        None, serialization.load_pem_private_key(made.key.reveal().encode(), None),  # type: ignore[arg-type]
        x509.load_pem_x509_certificate(made.certificate.encode()),
        x509.load_pem_x509_certificates(made.authority.encode()),
        serialization.NoEncryption()))
    return cloud.run("openstack", "secret", "store", "--file", str(path),
                     "-f", "value", "-c", "Secret href").strip()


class Walk:
    """Goes through the steps of one client.

    :ivar wrong: what was not as expected
    """

    def __init__(self, cloud: AllInOne, folder: Path) -> None:
        self._cloud = cloud
        versions = cloud.rest().get("/datastores/mariadb/versions").json()["versions"]
        images = cloud.rest("openrc-admin").service("image", "/v2/images")["images"]
        self._known = {
            "folder": str(folder), "project": cloud.rest().project_id,
            "bundle": stored_bundle(cloud, folder), "version_name": versions[0]["name"],
            "image": next(one["id"] for one in images if "mariadb" in one["tags"])}
        self.wrong: list[str] = []

    def go(self, steps: Sequence[Step]) -> None:
        """Take the steps; one that goes wrong is noted, and the next one taken."""
        for step in steps:
            try:
                self._take(step)
            except Exception as err:  # noqa: BLE001 - all are told at the end
                self.wrong.append(f"{step.command} {step.words}: {err}")

    def _take(self, step: Step) -> None:
        program, *command = step.command.split()
        words = shlex.split(step.words.format(**self._known))
        done = self._cloud.attempt(program, *command, *words,
                                   openrc="openrc-admin" if step.admin else "openrc")
        said = done.stdout + done.stderr
        if step.fails is not None:
            assert done.returncode != 0, said
            assert re.search(step.fails, said), said
            return
        assert done.returncode == 0, said
        for name, wanted in step.saves.items():
            found = re.search(self._fill(wanted), done.stdout)
            assert found, f"{name} is not in {said}"
            self._known[name] = found[1]
        for wanted in step.shows:
            assert re.search(self._fill(wanted), done.stdout), f"no {wanted} in {said}"
        for wanted in step.lacks:
            assert not re.search(self._fill(wanted), done.stdout), f"{wanted} in {said}"
        self._wait(step)

    def _fill(self, text: str) -> str:
        for name, value in self._known.items():
            text = text.replace(f"{{{name}}}", re.escape(value))
        return text

    def _wait(self, step: Step) -> None:
        if step.status is not None:
            self._cloud.wait_status(self._known["i"], step.status, 240)
        if step.settled is not None:
            path, wanted = step.settled
            self._cloud.wait_backup(path.format(**self._known).rpartition("/")[2], wanted)
        if step.gone is not None:
            path, end = step.gone.format(**self._known), time.monotonic() + 120
            rest = self._cloud.rest()
            while rest.get(path, check=False).status_code != 404:
                assert time.monotonic() < end, f"{path} is still there"
                time.sleep(0.5)


@pytest.mark.timeout(1200)
def test_every_command_does_what_it_says(cloud: AllInOne, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("message=Hello")
    walks = (Walk(cloud, tmp_path), Walk(cloud, tmp_path))
    threads = [threading.Thread(target=walk.go, args=(steps,))
               for walk, steps in zip(walks, (LEGACY, OPENSTACK), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [one for walk in walks for one in walk.wrong]
    assert not wrong, "\n".join(wrong)
