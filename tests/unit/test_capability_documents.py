"""The documentation says what each engine can do."""

from __future__ import annotations

import runpy
from pathlib import Path

from trove_ng.datastores.base import load_datastores

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_matrix_of_the_declarations() -> None:
    tool = runpy.run_path(str(ROOT / "tools/capabilities-doc.py"))
    text = (ROOT / "doc/source/user/datastores.rst").read_text()
    listed = text.partition(tool["BEGIN"])[2].partition(tool["END"])[0]
    assert listed == tool["render"](), "run tools/capabilities-doc.py"
    assert all(name in listed for name in load_datastores())
