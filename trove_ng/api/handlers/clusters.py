"""Clusters: none can be made yet, and clients list them nevertheless."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call


def index(call: Call) -> dict[str, Any]:
    """List the clusters: there are none."""
    call.limit()
    call.marker()
    return call.page("clusters", [], None)


def management(call: Call) -> dict[str, Any]:
    """List the clusters of all projects, or the deleted ones: there are none."""
    call.flag("deleted")
    return index(call)
