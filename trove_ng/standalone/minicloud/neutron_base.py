"""What all of Neutron's resources share."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from trove_ng.common.clock import utcnow

Document = dict[str, Any]


def moment() -> str:
    """Return the present time in Neutron's form."""
    return utcnow().replace(tzinfo=datetime.UTC, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(attributes: Document, project_id: str) -> Document:
    """Return a new resource's document."""
    now = moment()
    return {
        "id": str(uuid.uuid4()), **attributes, "project_id": project_id,
        "tenant_id": project_id, "created_at": now, "updated_at": now, "revision_number": 1,
    }


def touch(doc: Document) -> Document:
    """Note that a document has changed; returns it."""
    doc["updated_at"] = moment()
    doc["revision_number"] += 1
    return doc
