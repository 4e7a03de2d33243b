"""The API reference and its examples are those of the route table."""

from __future__ import annotations

from tests.functional.api.examples import FOLDER, stem
from tests.programs import tool
from trove_ng.api.routes import ROUTES


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
    program = tool("api-ref")
    assert program.text() == program.TARGET.read_text(), "run tox -e examples"
