"""Filters, fields, order and pages of Neutron's lists. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_CONTROL = frozenset((
    "fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir",
    "tags", "tags-any", "not-tags", "not-tags-any",
))

Document = dict[str, Any]


class BadQuery(Exception):
    """A query cannot be answered; the text is Neutron's message."""


def matches(doc: Mapping[str, Any], query: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a document passes every filter of a query."""
    for key, wanted in query.items():
        if key in _CONTROL:
            continue
        if not _passes(doc, key, wanted):
            return False
    have = set(doc.get("tags", ()))
    for key, test in (
        ("tags", lambda asked: asked <= have),
        ("tags-any", lambda asked: bool(asked & have)),
        ("not-tags", lambda asked: not asked <= have),
        ("not-tags-any", lambda asked: not asked & have),
    ):
        if key in query and not test({tag for one in query[key] for tag in one.split(",")}):
            return False
    return True


def _passes(doc: Mapping[str, Any], key: str, wanted: Sequence[str]) -> bool:
    if key == "fixed_ips":
        return all(_address_passes(doc.get(key, ()), one) for one in wanted)
    if key == "tenant_id":
        key = "project_id"
    if key not in doc:
        # Neutron ignores a filter on an attribute that the resource does not have
        return True
    value = doc[key]
    if isinstance(value, list):
        return any(_same(item, one) for item in value for one in wanted)
    return any(_same(value, one) for one in wanted)


def _same(value: Any, asked: str) -> bool:
    if isinstance(value, bool):
        return asked.lower() in (("true", "1") if value else ("false", "0"))
    if value is None:
        return asked in ("", "None")
    return str(value) == asked


def _address_passes(fixed_ips: Sequence[Mapping[str, str]], asked: str) -> bool:
    key, _, value = asked.partition("=")
    if key == "ip_address_substr":
        return any(value in ip["ip_address"] for ip in fixed_ips)
    return any(ip.get(key) == value for ip in fixed_ips)


def select(
    docs: Sequence[Document], query: Mapping[str, Sequence[str]],
) -> tuple[list[Document], bool, bool]:
    """Return the page that a query asks for, and whether pages precede and follow it.

    Raises BadQuery for a limit that is no number or a marker that is not there.
    """
    found = [doc for doc in docs if matches(doc, query)]
    keys = list(query.get("sort_key", ())) or ["id"]
    directions = list(query.get("sort_dir", ()))
    for position, key in reversed(list(enumerate(keys))):
        down = position < len(directions) and directions[position] == "desc"
        found.sort(key=lambda doc, key=key: str(doc.get(key, "")), reverse=down)  # type: ignore[misc]
    limit = _limit(query)
    marker = query.get("marker", [""])[0]
    backwards = query.get("page_reverse", [""])[0].lower() in ("true", "1")
    start, end = 0, len(found)
    if marker:
        place = [doc["id"] for doc in found].index(marker) if any(
            doc["id"] == marker for doc in found) else -1
        if place < 0:
            raise BadQuery(f"The marker {marker} was not found.")
        start, end = (start, place) if backwards else (place + 1, end)
    if limit:
        start, end = (max(start, end - limit), end) if backwards else (
            start, min(end, start + limit))
    return found[start:end], start > 0, end < len(found)


def _limit(query: Mapping[str, Sequence[str]]) -> int:
    raw = query.get("limit", ["0"])[0]
    if not raw.isdigit():
        raise BadQuery("Invalid value for limit. Bad integer value")
    return int(raw)


def fields(doc: Document, query: Mapping[str, Sequence[str]]) -> Document:
    """Return the document with only the attributes that the query asks for."""
    wanted = query.get("fields")
    if not wanted:
        return doc
    return {key: value for key, value in doc.items() if key in wanted}
