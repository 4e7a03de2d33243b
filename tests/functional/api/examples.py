"""The examples of the documentation: real exchanges, the same ones at every run.

There are up to four files for each route in ``doc/source/user/examples``: what is sent and
what is answered, as HTTP and, if there is one, its body alone.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from trove_ng.api.routes import Route

FOLDER = Path(__file__).parents[3] / "doc/source/user/examples"
#: set to "write", the files are written instead of compared
MODE = "TROVE_EXAMPLES"
_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
#: beginnings of the ids that the tests chose
_FIXED = ("00000000-", "f0000000-")
_MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
#: headers that say nothing of the API
_LEFT_OUT = ("content-length", "date", "server", "connection")


def stem(route: Route) -> str:
    """Return how the names of a route's files begin."""
    return (route.method + route.path).lower().translate(
        {ord("/"): "-", ord("{"): None, ord("}"): None})


def files(route: Route, path: str, body: Any, answer: Any) -> dict[str, str]:
    """Return the files of an exchange, name → text.

    :param path: with the project and the query
    :param answer: webtest's
    """
    seen: dict[str, int] = {}

    def stable(text: str) -> str:
        """Leave out what differs from run to run: new ids, and times."""
        def number(found: re.Match[str]) -> str:
            if found[0].startswith(_FIXED):
                return found[0]
            return f"{seen.setdefault(found[0], len(seen) + 1):08}-1111-4111-8111-111111111111"
        return _MOMENT.sub("2026-01-01T00:00:00", _ID.sub(number, text))

    sent = None if body is None else _pretty(body)
    given = _pretty(answer.json) if answer.body else None
    request = [f"{route.method} {path} HTTP/1.1", "Host: localhost", "X-Auth-Token: TOKEN",
               *(["Content-Type: application/json"] if sent else [])]
    response = [f"HTTP/1.1 {answer.status}", *(
        f"{name}: {value}" for name, value in sorted(answer.headers.items())
        if name.lower() not in _LEFT_OUT)]
    found = {}
    for kind, head, text in (("request", request, sent), ("response", response, given)):
        found[f"{stem(route)}-{kind}.http"] = stable(
            "\n".join([*head, "", *([text] if text else [])]) + "\n")
        if text:
            found[f"{stem(route)}-{kind}.json"] = stable(text) + "\n"
    return found


def _pretty(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def check(found: dict[str, str]) -> None:
    """Compare the files of an exchange with those of the documentation, or write them.

    :raises AssertionError: the API answers something else than the documentation says
    """
    for name, text in found.items():
        path = FOLDER / name
        if os.environ.get(MODE) == "write":
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text)
        known = path.read_text() if path.exists() else ""
        assert text == known, f"{name} of the documentation is another: run tox -e examples"
