"""Lists of containers and objects."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug import Response

_MOST = 10000


def wants_json(args: Mapping[str, str], accept: str) -> bool:
    """Return whether a list is asked for as JSON."""
    return args.get("format", "json" if "json" in accept else "") == "json"


def page(entries: Sequence[dict[str, Any]], args: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the part of a sorted list that a query asks for.

    :param entries: each with ``name``; with ``delimiter``, names below one are rolled up
        into an entry with ``subdir``
    """
    rolled = _rolled(entries, args.get("prefix", ""), args.get("delimiter", ""))
    if _true(args.get("reverse")):
        rolled.reverse()
        marker, end = args.get("end_marker", ""), args.get("marker", "")
    else:
        marker, end = args.get("marker", ""), args.get("end_marker", "")
    found = [one for one in rolled
             if (not marker or _name(one) > marker) and (not end or _name(one) < end)]
    limit = args.get("limit", "")
    return found[:min(int(limit), _MOST) if limit.isdigit() else _MOST]


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or entry.get("subdir"))


def _rolled(entries: Sequence[dict[str, Any]], prefix: str, delimiter: str,
            ) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in entries:
        name = entry["name"]
        if not name.startswith(prefix):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            found.append(entry)
            continue
        subdir = name[:cut + len(delimiter)]
        if not found or found[-1].get("subdir") != subdir:
            found.append({"subdir": subdir})
    return found


def render(entries: Sequence[dict[str, Any]], as_json: bool,
           headers: Mapping[str, str]) -> Response:
    """Return a list as JSON, or one name a line."""
    if as_json:
        return Response(json.dumps(list(entries)), headers=dict(headers),
                        content_type="application/json; charset=utf-8")
    text = "".join(f"{_name(entry)}\n" for entry in entries)
    return Response(text, status=200 if text else 204, headers=dict(headers),
                    content_type="text/plain; charset=utf-8")


def moment(stamp: float) -> str:
    """Return a time as Swift's lists show it."""
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.%f")


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("1", "true", "yes", "on", "t", "y")
