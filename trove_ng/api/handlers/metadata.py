"""What projects keep with their instances: keys, and values of any shape."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.schemas.metadata import KEY, MOST_BYTES, MOST_KEYS
from trove_ng.common.errors import BadRequest, Conflict, NotFound
from trove_ng.db.repositories import instance_metadata
from trove_ng.db.session import retry_on_db_error

_KEY = re.compile(KEY["pattern"])


def index(call: Call) -> dict[str, Any]:
    """Show all keys of an instance."""
    with call.services.db.reader() as session:
        found = accept.find(session, call)
        return {"metadata": instance_metadata.all_of(session, found.id)}


def show(call: Call) -> dict[str, Any]:
    """Show the value of a key."""
    with call.services.db.reader() as session:
        found = accept.find(session, call)
        known = instance_metadata.all_of(session, found.id)
    key = _known(call, known)
    return {"metadata": {key: known[key]}}


@retry_on_db_error
def create(call: Call) -> dict[str, Any]:
    """Add a key."""
    key, value = call.params["key"], _value(call)
    if not _KEY.fullmatch(key):
        raise BadRequest("Validation error: metadata: a key has 1 to 255 of the characters "
                         "A-Z a-z 0-9 _ . : -")
    with call.services.db.writer() as session:
        ident, known = _load(session, call)
        _need_free(known, key)
        if len(known) >= MOST_KEYS:
            raise Conflict(f"Instance {ident} has {MOST_KEYS} keys, which is the most.")
        answer = _set(session, call, ident, key, value)
        call.keep(session, answer, None)
    return answer


@retry_on_db_error
def edit(call: Call) -> dict[str, Any]:
    """Give a key another value."""
    value = _value(call)
    with call.services.db.writer() as session:
        ident, known = _load(session, call)
        return _set(session, call, ident, _known(call, known), value)


@retry_on_db_error
def update(call: Call) -> dict[str, Any]:
    """Put another key, with another value, in the place of a key."""
    value = _value(call)
    with call.services.db.writer() as session:
        ident, known = _load(session, call)
        old = _known(call, known)
        new = call.body["metadata"].get("key", old)
        if new != old:
            _need_free({key for key in known if key != old}, new)
            instance_metadata.drop(session, ident, old)
        return _set(session, call, ident, new, value)


@retry_on_db_error
def delete(call: Call) -> None:
    """Forget a key."""
    with call.services.db.writer() as session:
        ident, known = _load(session, call)
        instance_metadata.drop(session, ident, _known(call, known))


def _load(session: Session, call: Call) -> tuple[str, dict[str, Any]]:
    """Lock the instance of the path; return its id and what it has."""
    ident = accept.find(session, call, lock=True).id
    return ident, instance_metadata.all_of(session, ident)


def _known(call: Call, known: dict[str, Any]) -> str:
    key = call.params["key"]
    if key not in known:
        raise NotFound.of("Metadata", key)
    return key


def _need_free(known: dict[str, Any] | set[str], key: str) -> None:
    """Refuse a key that is there, also in other letters: some stores see no difference."""
    taken = next((one for one in known if one.lower() == key.lower()), None)
    if taken is not None:
        raise Conflict(f"There is metadata {taken} already.")


def _value(call: Call) -> Any:
    value = call.body["metadata"]["value"]
    if len(json.dumps(value)) > MOST_BYTES:
        raise BadRequest(f"Validation error: metadata.value has more than {MOST_BYTES} bytes "
                         "as JSON.")
    return value


def _set(session: Session, call: Call, ident: str, key: str, value: Any) -> dict[str, Any]:
    instance_metadata.put(session, ident, key, value, call.services.clock.now())
    return {"metadata": {key: value}}
