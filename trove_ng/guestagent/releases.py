"""Releases of the agent besides the one of the image: installed, tried, kept or taken back.

The program of the image is always started first, and becomes the release that was chosen.
A new release is on trial until the control plane has heard it and confirms it.  An alarm,
which outlives the change of programs, ends one that is not confirmed in time; when the
supervisor then starts the program of the image again, that finds a trial that was not passed,
and becomes what it was before.

They are on the root disk: a new disk brings the agent of its image.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import MutableMapping, Sequence
from urllib.parse import urlsplit

import msgspec

from trove_ng.common.errors import GuestError, UnprocessableEntity
from trove_ng.guestagent.os import files
from trove_ng.guestagent.storage.http import Patience, connect, describe
from trove_ng.rpc.machine_messages import AgentRelease

LOG = logging.getLogger(__name__)

#: in the environment of a release: its name
RELEASE = "TROVE_AGENT_RELEASE"
_PATH = "PYTHONPATH"
#: what PYTHONPATH was for the program of the image
_PATH_BEFORE = "TROVE_AGENT_PYTHONPATH"
_MODULE = "trove_ng.cmd.guestagent"
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,63}")
#: bytes of a package at most, as it is and unpacked
_LARGEST = 64 * 1024 ** 2
_CHUNK = 1024 ** 2
_PATIENCE = Patience(tries=3, silence=20.0, longest_wait=2.0)
_CHECK_SECONDS = 60
#: what a release must be able to do before it is tried
_CHECK = ("import sys; from trove_ng.conf import base; from trove_ng.cmd import guestagent; "
          "from trove_ng.guestagent import agent, bus; agent.load_manager(sys.argv[1]); "
          "print(base.version())")


class Choice(msgspec.Struct):
    """Which release is used; the empty name is the image's own.

    :param trial: one that is to be tried, or is
    :param tried: it was started
    """

    current: str = ""
    trial: str = ""
    tried: bool = False


class Releases:
    """The releases of one server.

    :param folder: directory of the releases
    :param manager: entry point of the datastore's manager, which a release must have
    :param environ: environment of this process
    """

    def __init__(self, folder: pathlib.Path, manager: str,
                 environ: MutableMapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._manager = manager
        self._environ = environ
        self._running = environ.get(RELEASE, "")

    @property
    def trial(self) -> str:
        """The release that is installed and not kept yet, if any."""
        return self._read().trial

    # ---- asked for by the control plane -----------------------------------

    def install(self, wanted: AgentRelease) -> None:
        """Fetch a release, and have it tried when the agent is started again.

        :raises GuestError: it cannot be fetched, is not what it should be, or does not work
            on this server; nothing was changed
        """
        if not _NAME.fullmatch(wanted.version):
            raise UnprocessableEntity(f"{wanted.version} cannot be the version of an agent.")
        choice = self._read()
        target = self._folder / wanted.version
        if wanted.version in (choice.current, self._running):
            raise UnprocessableEntity(f"The agent has version {wanted.version} already.")
        files.make_directory(self._folder, mode=0o700)
        package, draft = self._folder / "package", self._folder / "unpacked"
        try:
            _fetch(wanted, package)
            files.remove(draft, recursive=True)
            _unpack(package, draft)
            self._check(draft, wanted.version)
            files.remove(target, recursive=True)
            os.rename(draft, target)
        finally:
            files.remove(package)
            files.remove(draft, recursive=True)
        self._write(Choice(current=choice.current, trial=wanted.version))
        LOG.info("the agent's version %s is installed", wanted.version)

    def confirm(self, version: str) -> None:
        """Keep the release that is on trial, and forget others.

        :raises UnprocessableEntity: another one runs
        """
        if self._running != version:
            raise UnprocessableEntity(f"The agent of version {version} does not run.")
        signal.alarm(0)
        if self._read().current != version:
            self._write(Choice(current=version))
            LOG.info("the agent's version %s is kept", version)
        self._tidy({version})

    def discard(self) -> bool:
        """Forget the release on trial; return whether it runs, and so must end."""
        choice = self._read()
        self._write(Choice(current=choice.current))
        self._tidy({choice.current, self._running})
        return self._running != choice.current

    # ---- at the start and the end of the process --------------------------

    def choose(self) -> Choice:
        """Return the release to become; called by the program of the image only.

        A trial is given one start.
        """
        found = self._read()
        if found.trial and not found.tried:
            self._write(Choice(found.current, found.trial, tried=True))
            return found
        if found.trial:
            LOG.error("the agent's version %s did not work; the one before is taken",
                      found.trial)
            self._write(Choice(current=found.current))
        return Choice(current=found.current)

    def become(self, argv: Sequence[str], trial_seconds: int) -> None:
        """Become the chosen release; returns if that is what runs.

        :param argv: arguments of the agent
        :param trial_seconds: time that a release on trial has until it is confirmed
        """
        if self._running:
            # programs that the agent starts are not to find its modules
            before = self._environ.pop(_PATH_BEFORE, "")
            self._environ.pop(_PATH, None)
            if before:
                self._environ[_PATH] = before
            return
        choice = self.choose()
        name = choice.trial or choice.current
        if not name or not (self._folder / name).is_dir():
            return
        if choice.trial:
            signal.alarm(trial_seconds)
        environ = {**self._environ, RELEASE: name,
                   _PATH_BEFORE: self._environ.get(_PATH, ""),
                   _PATH: self._path_with(self._folder / name)}
        command = [sys.executable, "-P", "-m", _MODULE, *argv]
        os.execve(sys.executable, command, environ)  # noqa: S606 - this program, again

    def start_over(self, command: Sequence[str]) -> None:
        """Become the program of the image, as the supervisor starts it.

        :param command: how this process was started, with the interpreter
        """
        signal.alarm(0)
        self._environ.pop(RELEASE, None)
        program = [sys.executable, *command[1:]]
        os.execve(sys.executable, program, dict(self._environ))  # noqa: S606 - the same

    # ---- inner ------------------------------------------------------------

    def _read(self) -> Choice:
        try:
            return msgspec.json.decode((self._folder / "choice.json").read_bytes(), type=Choice)
        except FileNotFoundError:
            return Choice()
        except (OSError, msgspec.MsgspecError) as err:
            LOG.warning("the choice of the agent's release cannot be read: %s",
                        type(err).__name__)
            return Choice()

    def _write(self, choice: Choice) -> None:
        files.make_directory(self._folder, mode=0o700)
        files.write_bytes(self._folder / "choice.json", msgspec.json.encode(choice), mode=0o600)

    def _path_with(self, folder: pathlib.Path) -> str:
        return os.pathsep.join(filter(None, (str(folder), self._environ.get(_PATH, ""))))

    def _tidy(self, keep: set[str]) -> None:
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)

    def _check(self, folder: pathlib.Path, version: str) -> None:
        environ = {**self._environ, _PATH: self._path_with(folder)}
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _CHECK, self._manager], env=environ, cwd="/",
                capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise GuestError("The agent's package does not start.") from None
        if done.returncode:
            LOG.error("the agent's package does not work here: %s", done.stderr[-2000:])
            raise GuestError("The agent's package does not work on this server.")
        if done.stdout.strip() != version:
            raise GuestError(f"The agent's package is of version {done.stdout.strip()[:64]}, "
                             f"not {version}.")


def _fetch(wanted: AgentRelease, path: pathlib.Path) -> None:
    """Fetch a package and check that it is the one that is meant.

    :raises GuestError: it cannot be had, or is another one
    """
    for attempt in range(1, _PATIENCE.tries + 1):
        try:
            _get(wanted.location, path)
            break
        except (OSError, http.client.HTTPException) as err:
            LOG.warning("the agent's package: %s", describe(err))
            if attempt == _PATIENCE.tries:
                raise GuestError(
                    f"The agent's package cannot be fetched: {describe(err)}.") from None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != wanted.sha256.lower():
        raise GuestError("The agent's package has another checksum than it should.")


def _get(location: str, path: pathlib.Path) -> None:
    parts = urlsplit(location)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = connect(location, _PATIENCE)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise GuestError(f"The agent's package cannot be fetched: the server answers "
                             f"{answer.status}.")
        size = 0
        with path.open("wb") as stream:
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > _LARGEST:
                    raise GuestError("The agent's package is too large.")
                stream.write(chunk)
    finally:
        connection.close()


def _unpack(package: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpack a wheel.

    :raises GuestError: it is none, or has files outside of where they belong
    """
    try:
        with zipfile.ZipFile(package) as archive:
            names = archive.namelist()
            if any(not re.match(r"trove_ng(-[^/]*\.dist-info)?/", name)
                   or ".." in name.split("/") for name in names):
                raise GuestError("The agent's package has files that are not the agent's.")
            if sum(one.file_size for one in archive.infolist()) > _LARGEST:
                raise GuestError("The agent's package is too large.")
            archive.extractall(folder)  # noqa: S202 - the names are checked
    except (zipfile.BadZipFile, OSError) as err:
        raise GuestError("The agent's package cannot be unpacked.") from err
