"""Programs whose input or output is a stream, and that end with the block that uses them."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.os import commands

LOG = logging.getLogger(__name__)

#: bytes of a program's messages that are kept, whatever it writes
KEPT = 64 * 1024


class Program:
    """A program whose last messages are kept, and that does not outlive the block.

    :param explain: finds in its messages why it failed; a sentence, or nothing
    :param user: name of the user to run it as
    :param env: added to a small inherited environment
    """

    def __init__(self, argv: Sequence[str], *, stdin: int = subprocess.DEVNULL,
                 stdout: int = subprocess.DEVNULL,
                 explain: Callable[[str], str] = lambda _text: "",
                 user: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self._name = argv[0]
        self._explain = explain
        LOG.info("running %s", " ".join(argv))
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                list(argv), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                env=commands.environment({**commands.mark(), **(env or {})}),
                start_new_session=True, **commands.identity(user))
        except (OSError, KeyError) as err:
            raise GuestError(f"The program {self._name} cannot be run: "
                             f"{getattr(err, 'strerror', None) or err}.") from err
        self._kept = bytearray()
        assert self.process.stderr is not None
        self._reader = threading.Thread(
            target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        # not by lines: nothing says that a line ends
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            self._kept += chunk
            if len(self._kept) > KEPT:
                del self._kept[:len(self._kept) - KEPT]

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            commands.kill_group(self.process)
            self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    LOG.debug("%s left input unread", self._name)

    @property
    def messages(self) -> str:
        """The end of what it wrote to its error output."""
        return bytes(self._kept).decode(errors="replace")

    def collect(self) -> int:
        """Wait for the end and for the last messages; return the exit status."""
        status = self.process.wait()
        self._reader.join()
        return status

    def wait(self) -> None:
        """Wait for the end.

        :raises GuestError: it failed
        """
        if status := self.collect():
            raise self.failure(f"ended with status {status}")

    def said(self, text: str) -> bool:
        """Return whether its last messages hold a text."""
        return text in self.messages

    def failure(self, why: str) -> GuestError:
        """Return the error, and log the last of what the program said."""
        LOG.error("%s %s:\n%s", self._name, why, self.messages[-4000:])
        cause = self._explain(self.messages)
        return GuestError(f"The program {self._name} {why}" + (f": {cause}" if cause else "."))
