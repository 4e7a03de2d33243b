"""The released python-troveclient, asking an API without a server."""

from __future__ import annotations

import json
from typing import Any

from tests.functional.api.conftest import MINE, Api


class Client:
    """The HTTP part of the client, on an API without a server."""

    def __init__(self, app: Api, token: str) -> None:
        self._app, self._token = app, token

    def _ask(self, method: str, url: str, body: Any = None) -> tuple[Any, Any]:
        answer = self._app(method, url, body, token=self._token, project=MINE)
        answer.status_code = answer.status_int
        return answer, json.loads(answer.body) if answer.body else None

    def get(self, url: str) -> tuple[Any, Any]:
        return self._ask("GET", url)

    def post(self, url: str, body: Any = None) -> tuple[Any, Any]:
        return self._ask("POST", url, body)

    def put(self, url: str, body: Any = None) -> tuple[Any, Any]:
        return self._ask("PUT", url, body)

    def patch(self, url: str, body: Any = None) -> tuple[Any, Any]:
        return self._ask("PATCH", url, body)

    def delete(self, url: str) -> tuple[Any, Any]:
        return self._ask("DELETE", url)
