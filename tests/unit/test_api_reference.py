"""The API reference and its examples are those of the route table."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.functional.api.examples import FOLDER, stem
from trove_ng.api.routes import ROUTES

ROOT = Path(__file__).parents[2]


def test_every_route_has_examples_and_nothing_else_has() -> None:
    stems = {stem(route): route for route in ROUTES}
    assert len(stems) == len(ROUTES)
    found = {path.name for path in FOLDER.iterdir()}
    whole = {f"{name}-{kind}.http" for name in stems for kind in ("request", "response")}
    assert {name for name in found if name.endswith(".http")} == whole
    bodies = {f"{name}-request.json" for name, route in stems.items()
              if route.request is not None and not route.body_optional}
    bodies |= {f"{name}-response.json" for name, route in stems.items()
               if route.answer is not None}
    assert bodies <= found
    possible = {name.replace(".http", ".json") for name in whole} | whole
    assert found <= possible


def test_the_reference_is_made_of_them() -> None:
    spec = importlib.util.spec_from_file_location("api_ref", ROOT / "tools/api-ref.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.text() == tool.TARGET.read_text(), "run tox -e examples"
