"""Running programs: argument lists, a time limit, bounded output, typed errors."""

from __future__ import annotations

import dataclasses
import logging
import os
import pwd
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret

LOG = logging.getLogger(__name__)

#: bytes kept of each of a program's outputs
OUTPUT_LIMIT = 1024 * 1024
#: characters of a program's complaint that an error's text shows
SHOWN = 500
#: variables a program inherits; nothing else of the agent's environment is passed
#: variable that marks programs that the next agent may kill, should this one be killed;
#: its value is the instance's id
MARK = "TROVE_GUEST_ID"
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandError(GuestError):
    """A program did not do its work.

    :ivar returncode: exit status, or None if it did not start or took too long
    :ivar stderr: end of its error output; not part of the message
    """

    def __init__(self, message: str, *, returncode: int | None = None,
                 stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


class CommandTimeout(CommandError):
    """A program took longer than it may."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a program left: exit status and its outputs as text."""

    returncode: int
    stdout: str
    stderr: str


def run(argv: Sequence[str], *, timeout: float = 120, stdin: str | Secret | None = None,
        env: Mapping[str, str | Secret] | None = None, cwd: str | None = None,
        user: str | None = None, accept: Sequence[int] = (0,),
        disposable: bool = False) -> Result:
    """Run a program to its end.

    Arguments are logged and seen by every user of the machine, so a secret is
    refused there; it goes through ``stdin`` or ``env``.

    :param timeout: seconds after which the program and its children are killed
    :param env: added to a small inherited environment
    :param user: user name to run as
    :param accept: exit statuses that are no failure
    :param disposable: True if the next agent may kill it when it outlives this one; what
        changes a file system must not be killed
    :raises CommandTimeout: it took too long
    :raises CommandError: it could not start, or ended with another status
    """
    if any(not isinstance(argument, str) for argument in argv):
        raise TypeError("arguments are plain text; secrets go through stdin or env")
    name = os.path.basename(argv[0])
    LOG.debug("running %s", " ".join(argv))
    data = stdin.reveal() if isinstance(stdin, Secret) else stdin
    try:
        process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
            env=environment({**(mark() if disposable else {}), **(env or {})}),
            start_new_session=True, **identity(user))
    except (OSError, KeyError) as err:
        raise CommandError(f"The program {name} cannot be run: "
                           f"{getattr(err, 'strerror', None) or err}.") from err
    out, err_text = _finish(process, name, data, timeout)
    if process.returncode not in accept:
        # what a program complains about may quote what it was given
        secret = isinstance(stdin, Secret) or any(
            isinstance(value, Secret) for value in (env or {}).values())
        LOG.warning("%s ended with status %s: %s", name, process.returncode,
                    "(not shown: it was given a secret)" if secret
                    else err_text[-SHOWN:].strip())
        raise CommandError(f"The program {name} ended with status {process.returncode}.",
                           returncode=process.returncode, stderr=err_text[-SHOWN:].strip())
    return Result(process.returncode, out, err_text)


def identity(user: str | None) -> dict[str, Any]:
    """Return Popen's arguments to run as a user with its groups and no others.

    :raises KeyError: no such user
    """
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid,
            "extra_groups": os.getgrouplist(user, entry.pw_gid)}


def mark() -> dict[str, str]:
    """Return the variable that marks a program as disposable, if this agent has it."""
    return {MARK: os.environ[MARK]} if MARK in os.environ else {}


def environment(extra: Mapping[str, str | Secret] | None = None) -> dict[str, str]:
    """Return the environment for a program: a few inherited variables and the extra."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env.setdefault("PATH", DEFAULT_PATH)
    for name, value in (extra or {}).items():
        env[name] = value.reveal() if isinstance(value, Secret) else value
    return env


def _finish(process: subprocess.Popen[bytes], name: str, data: str | None,
            timeout: float) -> tuple[str, str]:
    """Feed the program, collect its outputs up to the limit, and wait for its end."""
    outputs: list[bytearray] = [bytearray(), bytearray()]
    readers = [threading.Thread(target=_collect, args=(stream, kept), daemon=True)
               for stream, kept in zip((process.stdout, process.stderr), outputs, strict=True)]
    if data is not None:
        readers.append(threading.Thread(target=_feed, args=(process.stdin, data), daemon=True))
    for reader in readers:
        reader.start()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired as err:
        kill_group(process)
        raise CommandTimeout(f"The program {name} took longer than {timeout:g} s.") from err
    except BaseException:
        kill_group(process)
        raise
    for reader in readers:
        # A daemon that the program left behind may hold its outputs open.
        reader.join(2)
    return tuple(bytes(kept).decode(errors="replace") for kept in outputs)  # type: ignore[return-value]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that leads a session of its own, with its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        LOG.debug("process %s is gone already", process.pid)
    process.wait()


def _collect(stream: IO[bytes] | None, kept: bytearray) -> None:
    assert stream is not None
    with stream:
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            kept += chunk
            if len(kept) > OUTPUT_LIMIT:
                del kept[:len(kept) - OUTPUT_LIMIT]


def _feed(stream: IO[bytes] | None, data: str) -> None:
    assert stream is not None
    try:
        with stream:
            stream.write(data.encode())
    except BrokenPipeError:
        LOG.debug("the program did not read all of its input")
