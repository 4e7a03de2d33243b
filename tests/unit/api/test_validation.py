"""What a schema's pattern means for texts of any length."""

from __future__ import annotations

import pytest

from trove_ng.api.validation import Validator
from trove_ng.common.errors import BadRequest


@pytest.mark.parametrize("text", ["B", "a" * 5000 + "B", "a" * 5000])
def test_no_text_passes_a_pattern_by_its_length(text: str) -> None:
    with pytest.raises(BadRequest, match="pattern"):
        Validator().check({"type": "string", "pattern": "^a*$"}, text)


def test_a_text_within_its_bounds_passes() -> None:
    Validator().check({"type": "string", "pattern": "^a*$", "maxLength": 9}, "aaa")
