"""How the databases of instances speak TLS with their clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.db.models import InstanceTls
from trove_ng.db.rows import Reader

#: what is in force, and what was before
CURRENT, PREVIOUS = "current", "previous"


def get(reader: Reader, instance_id: str, place: str = CURRENT) -> Any:
    """Return mode, reference, certificate and authority; None: the server speaks no TLS."""
    return reader.execute(select(
        InstanceTls.mode, InstanceTls.reference, InstanceTls.certificate,
        InstanceTls.authority).where(
            InstanceTls.instance_id == instance_id, InstanceTls.place == place)).one_or_none()


def replace(session: Session, instance_id: str,
            entries: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Write down what a server has.

    :param entries: place → columns; None: nothing
    """
    session.execute(delete(InstanceTls).where(InstanceTls.instance_id == instance_id))
    session.add_all([InstanceTls(instance_id=instance_id, place=place, **columns)
                     for place, columns in entries.items() if columns is not None])
