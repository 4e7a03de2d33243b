"""The REST API as the commands use it."""

from __future__ import annotations

import urllib.parse
from typing import Any

from keystoneauth1 import session
from keystoneauth1.adapter import Adapter
from keystoneauth1.exceptions.http import HttpError
from osc_lib.exceptions import CommandError, NotFound

Item = dict[str, Any]

#: how ``openstack`` names the extension
API_NAME = "trove_ng"


class Client:
    """Requests to the database service of the catalog, by relative paths.

    Every method raises CommandError with the service's message when it refuses.
    """

    def __init__(self, auth: session.Session, region_name: str | None,
                 interface: str | None) -> None:
        self._adapter = Adapter(auth, service_type="database", region_name=region_name,
                                interface=interface, user_agent="trove-ng-osc")

    def request(self, method: str, path: str, body: Item | None = None,
                query: Item | None = None) -> Any:
        """Send a request and return the decoded answer, or None if it has no body.

        :param query: parameters; those that are None are left out
        """
        try:
            answer = self._adapter.request(
                path, method, json=body, headers={"Accept": "application/json"},
                params={key: value for key, value in (query or {}).items()
                        if value is not None})
        except HttpError as err:
            raise CommandError(_message(err)) from err
        return answer.json() if answer.content else None

    def get(self, path: str, query: Item | None = None) -> Any:
        """Return what is at a path."""
        return self.request("GET", path, query=query)

    def pages(self, path: str, key: str, limit: int | None = None,
              query: Item | None = None) -> list[Item]:
        """Return the items of a list, of as many pages as it takes.

        :param key: the list's name in the answer
        :param limit: how many at most; None for all
        """
        found: list[Item] = []
        asked = dict(query or {})
        while limit is None or len(found) < limit:
            answer = self.get(path, {
                **asked, "limit": None if limit is None else limit - len(found)})
            found += answer[key]
            asked["marker"] = _next_marker(answer)
            if not asked["marker"]:
                break
        return found

    def find(self, collection: str, key: str, name_or_id: str) -> Item:
        """Return the item of a collection that has an id, or else a name.

        :param collection: path of the list, as ``modules``
        :param key: the list's name in the answer
        :raises CommandError: there is none, or the name is not unique
        """
        try:
            shown: Item = next(iter(self._show(collection, name_or_id).values()))
            return shown
        except NotFound:
            named = [one for one in self.pages(collection, key) if one["name"] == name_or_id]
        if len(named) == 1:
            return named[0]
        what = key.replace("_", " ").removesuffix("s")
        raise CommandError(
            f"More than one {what} is named {name_or_id!r}; give its ID." if named
            else f"There is no {what} {name_or_id!r}.")

    def _show(self, collection: str, ident: str) -> Item:
        try:
            shown: Item = self._adapter.get(
                f"{collection}/{urllib.parse.quote(ident, safe='')}",
                headers={"Accept": "application/json"}).json()
        except HttpError as err:
            if err.http_status in (400, 404):
                raise NotFound(err.http_status) from err
            raise CommandError(_message(err)) from err
        return shown


def _next_marker(answer: Item) -> str | None:
    for link in answer.get("links", ()):
        if link["rel"] == "next":
            query = urllib.parse.urlsplit(str(link["href"])).query
            return urllib.parse.parse_qs(query)["marker"][0]
    return None


def _answer(err: HttpError) -> Any:
    return err.response.json() if err.response is not None else {}


def _message(err: HttpError) -> str:
    """Return the service's message: ``{"badRequest": {"message": …, "code": 400}}``."""
    try:
        fault = next(iter(_answer(err).values()))
        return f"{fault['message']} (HTTP {err.http_status})"
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        return str(err)
