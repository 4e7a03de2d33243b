"""The object store on the wire: connections, and what its answers mean.

Wire format: Object Store API v1 with the TempURL middleware.  No text made here holds a
signature.
"""

from __future__ import annotations

import dataclasses
import errno
import http.client
import os
import socket
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.common.secret import Secret

#: what a refusal means for whoever reads the fault
_MEANINGS = {
    401: "the leave to use it is not valid or has expired",
    403: "the leave to use it is not valid or has expired",
    404: "it does not exist",
    413: "a quota or the largest size of an object is reached",
    507: "the object store is full",
}
#: answers after which the same request may succeed
TRANSIENT = frozenset({408, 422, 429, 498, 499, 500, 502, 503, 504})
#: longest wait that a store may ask for, seconds
_LONGEST_WAIT = 60.0


class StorageError(GuestError):
    """The object store did not do what it must; the message names no secret."""


class DamagedBackup(StorageError):
    """A backup is not what was stored, whoever reads it, and when.

    :ivar checksum: of that backup; empty if it is not known which of several it is
    """

    checksum = ""


class SeemsDamaged(DamagedBackup):
    """The store says that it has not what was stored; it may say another thing to others."""


class FullBackupNeeded(BadRequest):
    """A backup cannot continue the other one, and never will: only a full one can be made."""


class Broken(Exception):
    """One attempt failed in a way that another one may not; the text says how.

    :ivar wait: seconds that the store asks to wait, 0 if it does not
    """

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long the object store is waited for.

    :param tries: attempts of one request that make no progress
    :param connect: seconds that connecting may take
    :param silence: seconds without a byte after which a connection is given up
    :param slowest: bytes a second below which a transfer is given up
    :param first_wait: seconds between first and second attempt; doubled each time
    :param longest_wait: seconds between two attempts at most
    """

    tries: int = 8
    connect: float = 10.0
    silence: float = 60.0
    slowest: int = 64 * 1024
    first_wait: float = 0.5
    longest_wait: float = 20.0

    def pause(self, attempt: int, asked: float = 0.0) -> float:
        """Return the seconds to wait after the given attempt, the first being 1."""
        wait = min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)
        return max(wait, min(asked, _LONGEST_WAIT))


def connect(url: str, patience: Patience) -> http.client.HTTPConnection:
    """Return an open connection to the host of a URL.

    :raises OSError: it is not reached
    """
    parts = urlsplit(url)
    kind: Callable[..., http.client.HTTPConnection] = (
        http.client.HTTPSConnection if parts.scheme == "https"
        else http.client.HTTPConnection)
    connection = kind(parts.hostname or "", parts.port, timeout=patience.connect)
    connection.connect()
    connection.sock.settimeout(patience.silence)
    return connection


def target(url: str, name: str, query: Secret) -> str:
    """Return what stands in the request line for an object."""
    return f"{urlsplit(url).path}/{quote(name)}?{query.reveal()}"


def refusal(status: int, name: str) -> StorageError:
    """Return the error for an answer that another attempt would get again."""
    meaning = _MEANINGS.get(status)
    return StorageError(f"The object store answered {status} to {name}"
                        + (f": {meaning}." if meaning else "."))


def transient(response: http.client.HTTPResponse) -> Broken:
    """Return what an answer was that another attempt may not get."""
    asked = response.getheader("Retry-After") or ""
    return Broken(f"it answered {response.status}",
                  float(asked) if asked.isascii() and asked.isdigit() else 0.0)


def describe(err: Exception) -> str:
    """Return what happened to a connection, without what the error's text may hold."""
    if isinstance(err, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(err, TimeoutError):
        return "it does not answer in time"
    if isinstance(err, OSError) and err.errno is not None and err.errno in errno.errorcode:
        return os.strerror(err.errno).lower()
    return f"the connection broke ({type(err).__name__})"
