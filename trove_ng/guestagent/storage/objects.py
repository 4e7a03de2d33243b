"""Storing single objects that fit into memory, by signed URLs.

Wire format: Object Store API v1 with the TempURL middleware.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import time
from collections.abc import Mapping

from trove_ng.guestagent.storage import http as wire
from trove_ng.guestagent.storage.http import Broken, Patience, StorageError
from trove_ng.rpc.messages import ObjectStoreGrant

LOG = logging.getLogger(__name__)

#: bytes of an answer that are read
_ANSWER = 64 * 1024


def put(grant: ObjectStoreGrant, name: str, content: bytes, headers: Mapping[str, str],
        patience: Patience) -> None:
    """Store an object, again and again if need be; one of the same name is replaced.

    :raises StorageError: it is refused, or no attempt succeeded
    """
    if grant.put_query is None:
        raise StorageError("The grant does not allow to write.")
    path = wire.target(grant.container_url, name, grant.put_query)
    # the store refuses what arrives otherwise
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    for attempt in range(1, patience.tries + 1):
        try:
            _put(grant.container_url, path, content, {**headers, "ETag": etag}, name, patience)
            return
        except Broken as err:
            why, wait = str(err), patience.pause(attempt, err.wait)
        LOG.warning("%s was not stored, attempt %d of %d: %s", name, attempt, patience.tries,
                    why)
        if attempt < patience.tries:
            time.sleep(wait)
    raise StorageError(f"The object store did not take {name} in {patience.tries} attempts: "
                       f"{why}.")


def _put(url: str, path: str, content: bytes, headers: Mapping[str, str], name: str,
         patience: Patience) -> None:
    try:
        connection = wire.connect(url, patience)
    except OSError as err:
        raise Broken(wire.describe(err)) from err
    try:
        connection.request("PUT", path, content, dict(headers))
        response = connection.getresponse()
        response.read(_ANSWER)
    except (OSError, http.client.HTTPException) as err:
        raise Broken(wire.describe(err)) from err
    finally:
        connection.close()
    if response.status in wire.TRANSIENT:
        raise wire.transient(response)
    if response.status != 201:
        raise wire.refusal(response.status, name)
