"""What instances can do, as API and taskmanager ask."""

from __future__ import annotations

from trove_ng.datastores.base import Datastore
from trove_ng.db.repositories import capabilities, datastores
from trove_ng.db.rows import Reader
from trove_ng.domain.capabilities import switched


def effective(reader: Reader, version_id: str, engine: Datastore) -> Datastore:
    """Return an engine with the capabilities that instances of a version have."""
    if engine.lacks:
        engine = engine.of(datastores.number_of(reader, version_id))
    return switched(engine, capabilities.switched_off(reader, version_id))
