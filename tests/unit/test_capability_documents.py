"""The documentation says what each engine can do."""

from __future__ import annotations

from pathlib import Path

from tests.programs import tool
from trove_ng.datastores.base import load_datastores

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_matrix_of_the_declarations() -> None:
    program = tool("capabilities-doc")
    text = (ROOT / "doc/source/user/datastores.rst").read_text()
    listed = text.partition(program.BEGIN)[2].partition(program.END)[0]
    assert listed == program.render(), "run tools/capabilities-doc.py"
    assert all(name in listed for name in load_datastores())
