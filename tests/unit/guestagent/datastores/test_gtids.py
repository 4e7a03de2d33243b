"""Counting what is in a set of global transaction ids."""

from __future__ import annotations

import pytest

from trove_ng.guestagent.datastores.stable.mysql.gtids import count

_A, _B = "3E11FA47-71CA-11E1-9E33-C80AA9429562", "aaaaaaaa-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(("text", "number"), [
    ("", 0), (f"{_A}:1", 1), (f"{_A}:1-5", 5), (f"{_A}:1-5:7-9:11", 9),
    (f"{_A}:1-5,\n{_B}:2-3", 7), (f"{_A}:1-5,{_A.lower()}:3-8", 8),
    (f"{_A}:1-5,{_A}:1-5:6", 6), (f"{_A}:1-9,{_A}:2-3:5", 9), (f"{_A}:4-6,{_A}:1-2", 5),
    # those with a tag are others, since 8.3
    (f"{_A}:1-5:night:1-3:7,{_A}:Night:3-4", 10)])
def test_transactions_are_counted_once(text: str, number: int) -> None:
    assert count(text) == number
