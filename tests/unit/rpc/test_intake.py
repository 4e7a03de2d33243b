"""Which outer messages are read at all."""

from __future__ import annotations

from typing import Any

import pytest

from trove_ng.rpc import intake

WHOLE = {"method": "do", "args": {"envelope": {}}, "_msg_id": "m", "_reply_q": "q"}


def test_what_is_needed_of_a_message_is_kept() -> None:
    assert intake.readable({**WHOLE, "_unique_id": "u", "_timeout": None}) == WHOLE
    assert intake.readable({"method": "do", "args": {}}) == {"method": "do", "args": {}}


@pytest.mark.parametrize("message", [
    {}, {"method": "do"}, {"args": {}}, {"_msg_id": "m"}, {"method": "do", "_msg_id": "m"},
    {"args": {}, "_reply_q": "q"}, {**WHOLE, "method": None}, {**WHOLE, "args": "text"},
    {**WHOLE, "_msg_id": 1}])
def test_what_is_no_message_is_refused(message: dict[str, Any]) -> None:
    assert intake.readable(message) is None
