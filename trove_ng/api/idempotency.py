"""The header ``Idempotency-Key``: a repeated request gets the first one's answer.

See draft-ietf-httpapi-idempotency-key-header.  The answer is written in the transaction
that accepts the request, so that a process killed after it has lost nothing.  Only good
answers are kept: a request that failed left nothing behind and may be tried again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

from oslo_db.exception import DBError
from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.api.services import Services
from trove_ng.common.errors import BadRequest, Conflict
from trove_ng.db.repositories import idempotency
from trove_ng.db.repositories.idempotency import Claim
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway, StoreUnsure

#: what ``inst_rpc_key_encr_key`` is used for here
PURPOSE = "idempotency"


class Idempotency:
    """Does a keyed request once."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def run(self, call: Call, key: str, handler: Callable[[Call], Any]) -> Any:
        """Return the handler's answer, or the one that it gave to this key before.

        :raises BadRequest: the key breaks a rule
        :raises Conflict: the key names another request, or one that is being done
        """
        project_id, stored, print_ = call.context.project_id, _checked(key), _fingerprint(call)
        held = Claim(
            project_id, stored,
            self._services.idempotency_box.seal(print_, _bound(project_id, stored)),
            str(uuid.uuid4()))
        try:
            kept = self._claim(held, print_)
        except StoreUnsure:
            # it may be written: the client, who was told to try again, would find it taken
            self._release(held)
            raise
        if kept is not None:
            call.operation_id, call.replayed = kept["operation_id"], True
            return kept["answer"]
        done = _Keeper(self._services, held, call.route.success)
        call.keep = done
        try:
            answer = handler(call)
            if not done.kept:
                self._keep(done, answer, call.operation_id)
        except BaseException:
            self._release(held)
            raise
        return answer

    @retry_on_db_error
    def _claim(self, held: Claim, fingerprint: str) -> dict[str, Any] | None:
        services, conf = self._services, self._services.conf
        box, bound = services.idempotency_box, _bound(held.tenant_id, held.key)
        with services.db.writer() as session:
            found = idempotency.claim(session, held, services.clock.now(),
                                      conf.operations.idempotency_key_lifetime,
                                      conf.api.request_timeout)
            if found is None:
                return None
            if box.open(found.fingerprint, bound) != fingerprint:
                raise Conflict("Idempotency-Key was used for another request.")
            if found.body is None:
                raise Conflict("The request with this Idempotency-Key is being done.")
            text = box.open(found.body, bound)
        kept: dict[str, Any] = json.loads(text)
        return kept

    @retry_on_db_error
    def _keep(self, done: _Keeper, answer: Any, operation_id: str | None) -> None:
        with self._services.db.writer() as session:
            done(session, answer, operation_id)

    def _release(self, held: Claim) -> None:
        # when the store is away too, the key is free again after a while
        with contextlib.suppress(DBError, StoreAway), self._services.db.writer() as session:
            idempotency.release(session, held)


class _Keeper:
    """Writes the answer; see :class:`trove_ng.api.call.Keep`."""

    def __init__(self, services: Services, held: Claim, status: int) -> None:
        self._services = services
        self._held = held
        self._status = status
        self.kept = False

    def __call__(self, session: Session, answer: Any, operation_id: str | None) -> None:
        # an answer may hold a password
        sealed = self._services.idempotency_box.seal(
            json.dumps({"answer": answer, "operation_id": operation_id}),
            _bound(self._held.tenant_id, self._held.key))
        if not idempotency.keep(session, self._held, self._status, sealed):
            raise Conflict("The request took so long that its Idempotency-Key was given to "
                           "another one.")
        self.kept = True


def _checked(key: str) -> str:
    """Return what stands for a key in the store.

    :raises BadRequest: it is not 1 to 255 printable ASCII characters
    """
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise BadRequest("Validation error: Idempotency-Key must be 1 to 255 printable ASCII "
                         "characters.")
    return hashlib.sha256(key.encode()).hexdigest()


def _fingerprint(call: Call) -> str:
    text = json.dumps([call.route.method, call.path, sorted(call.query.items()), call.body],
                      sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _bound(project_id: str, key: str) -> str:
    return f"{project_id}/{key}"
