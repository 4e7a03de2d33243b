"""Views of what groups of a datastore version may set."""

from __future__ import annotations

from typing import Any

from trove_ng.common.clock import isoformat
from trove_ng.db.models import DatastoreConfigurationParameter


def parameter(row: DatastoreConfigurationParameter) -> dict[str, Any]:
    """Return what users are shown."""
    view: dict[str, Any] = {
        "name": row.name, "datastore_version_id": row.datastore_version_id,
        "restart_required": row.restart_required, "type": row.data_type}
    for name, text in (("min", row.min_size), ("max", row.max_size)):
        if text is not None:
            view[name] = _number(text)
    if row.choices:
        view["choices"] = row.choices
    if row.description:
        view["description"] = row.description
    return view


def management(row: DatastoreConfigurationParameter) -> dict[str, Any]:
    """Return what operators are shown."""
    return {**parameter(row), "deleted": row.deleted,
            "deleted_at": None if row.deleted_at is None else isoformat(row.deleted_at)}


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
