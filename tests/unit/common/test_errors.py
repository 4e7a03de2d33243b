from __future__ import annotations

import pytest

from trove_ng.common import errors


@pytest.mark.parametrize(("kind", "status", "name"), [
    (errors.BadRequest, 400, "badRequest"),
    (errors.Unauthorized, 401, "unauthorized"),
    (errors.Forbidden, 403, "forbidden"),
    (errors.NotFound, 404, "itemNotFound"),
    (errors.MethodNotAllowed, 405, "badMethod"),
    (errors.Conflict, 409, "conflict"),
    (errors.QuotaExceeded, 413, "overLimit"),
    (errors.BadMediaType, 415, "badMediaType"),
    (errors.UnprocessableEntity, 422, "unprocessableEntity"),
    (errors.GuestError, 422, "unprocessableEntity"),
    (errors.NotSupported, 501, "notImplemented"),
    (errors.GuestTimeout, 503, "serviceUnavailable"),
])
def test_each_error_has_the_status_and_name_that_clients_know(
        kind: type[errors.TroveError], status: int, name: str) -> None:
    error = kind("why")
    assert (error.status, error.name, error.message) == (status, name, "why")


def test_not_found_reads_the_same_for_a_foreign_and_an_unknown_resource() -> None:
    assert errors.NotFound.of("Instance", "x").message == "Instance x cannot be found."
