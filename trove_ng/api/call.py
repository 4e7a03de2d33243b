"""One request, as handlers see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from trove_ng.api.parsing import parse_flag
from trove_ng.api.routes import Route
from trove_ng.api.services import Services
from trove_ng.common.context import RequestContext
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.common.secret import Secret

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Owned(Protocol):
    """What belongs to a project."""

    @property
    def tenant_id(self) -> str:
        """The project."""


T = TypeVar("T", bound=Owned)
R = TypeVar("R")


class Keep(Protocol):
    """Keeps the answer to a request that names an idempotency key."""

    def __call__(self, session: Session, answer: Any, operation_id: str | None) -> None:
        """Write the body of the answer and the operation that it tells of.

        :raises Conflict: the request took so long that its key was given away
        """


def _keep_nothing(session: Session, answer: Any, operation_id: str | None) -> None:
    """Keep no answer: the request names no key."""


@dataclasses.dataclass(slots=True)
class Call:
    """A request that is authenticated and fits its schema.

    :param params: the path's parameters, decoded
    :param query: the query's parameters
    :param body: the validated body; None when there is none
    :param host_url: scheme and host that the client used
    :param operation_id: the operation that the handler began, None while there is none
    :param replayed: the answer is the one of an earlier request with the same key
    :param token: the caller's own, for services that trust nobody else
    :param keep: writes the answer that a repeat of the request gets, in the transaction
        that accepts the request; does nothing if the client named no key
    """

    services: Services
    context: RequestContext
    route: Route
    params: dict[str, str]
    query: dict[str, str]
    body: Any
    host_url: str
    path: str
    operation_id: str | None = None
    replayed: bool = False
    keep: Keep = _keep_nothing
    token: Secret | None = None

    @property
    def owner(self) -> str | None:
        """The project to look among; None for an administrator, who sees all."""
        return None if self.context.is_admin else self.context.project_id

    def authorize(self, rule: str, tenant_id: str | None = None) -> None:
        """Ask a further rule, by default for the caller's own project.

        :raises Forbidden: the rule says no
        """
        self.services.authorizer.check(
            self.context, rule, tenant_id or self.context.project_id)

    def authorize_owner(self, tenant_id: str) -> None:
        """Ask the route's rule for the owner of a loaded object.

        :raises Forbidden: the rule says no
        """
        if tenant_id != self.context.project_id:
            self.services.authorizer.check(self.context, self.route.rule, tenant_id)

    def own(self, kind: str, ident: str, found: T | None) -> T:
        """Return what was looked for among what the caller may see.

        :param kind: what it is called
        :param found: None: there is none
        :raises NotFound: there is none
        :raises Forbidden: the route's rule says no for its owner
        """
        if found is None:
            raise NotFound.of(kind, ident)
        self.authorize_owner(found.tenant_id)
        return found

    def flag(self, name: str) -> bool:
        """Return a yes-or-no query parameter, False when it is absent.

        :raises BadRequest: it is neither
        """
        return parse_flag(name, self.query.get(name, ""))

    def asks(self, name: str) -> bool:
        """Return whether a field of the body says yes, in whichever way; False when absent.

        :raises BadRequest: it says neither yes nor no
        """
        return parse_flag(name, str(self.body.get(name, "")))

    def choice(self, name: str) -> str | None:
        """Return a query parameter that has one of a few values, None when it is absent.

        :raises BadRequest: it is none of those that the route names
        """
        value = self.query.get(name) or None
        known = self.route.query[name]["enum"]
        if value is not None and value not in known:
            raise BadRequest(f"Validation error: {name} must be one of {', '.join(known)}.")
        return value

    def limit(self) -> int:
        """Return how many resources a page may hold.

        :raises BadRequest: the parameter ``limit`` is not a number from 0 up
        """
        most: int = self.services.conf.api.max_page_size
        text = self.query.get("limit")
        if text is None:
            return most
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise BadRequest("Validation error: limit must be an integer from 0 up.")
        return min(int(text), most) or most

    def marker(self) -> str | None:
        """Return where the page begins, None for the first."""
        marker = self.query.get("marker") or None
        if marker is not None and (len(marker) > 512 or "\0" in marker):
            raise BadRequest("Validation error: marker is too long.")
        return marker

    def offset(self) -> int:
        """Return the marker of lists that page by position.

        :raises BadRequest: it is not a number from 0 up
        """
        marker = self.query.get("marker", "0")
        if not (marker.isascii() and marker.isdigit() and len(marker) < 10):
            raise BadRequest("Validation error: marker must be an integer from 0 up.")
        return int(marker)

    def links(self, resource: str, ident: str) -> list[dict[str, str]]:
        """Return the links that a resource's view has."""
        return [
            {"rel": "self", "href": f"{self.host_url}/v1.0/{self.context.project_id}"
                                    f"/{resource}/{quote(ident)}"},
            {"rel": "bookmark", "href": f"{self.host_url}/{resource}/{quote(ident)}"},
        ]

    def listed(self, key: str, rows: Sequence[R], view: Callable[[R], dict[str, Any]],
               ) -> dict[str, Any]:
        """Return the body of a list of what was found.

        :param rows: one more than a page holds, if there are as many
        :param view: makes of each what is shown, which has its ``id``
        """
        limit = self.limit()
        items = [view(row) for row in rows[:limit]]
        return self.page(key, items, items[-1]["id"] if len(rows) > limit else None)

    def page(self, key: str, items: list[Any], next_marker: object | None,
             ) -> dict[str, Any]:
        """Return the body of a list, with a link to the next page if there is one."""
        body: dict[str, Any] = {key: items}
        if next_marker is not None:
            query = {**self.query, "marker": str(next_marker)}
            body["links"] = [{"rel": "next",
                              "href": f"{self.host_url}{self.path}?{urlencode(query)}"}]
        return body
