"""What an installation contains."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2] / "trove_ng"


def test_every_directory_with_modules_is_a_package() -> None:
    # setuptools leaves others out, and only an editable installation works
    missing = [str(path.parent.relative_to(ROOT)) for path in ROOT.rglob("*.py")
               if not (path.parent / "__init__.py").exists()]
    assert missing == []
