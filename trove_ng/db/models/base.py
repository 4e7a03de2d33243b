"""What all tables share."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from sqlalchemy import JSON, DateTime, MetaData, Text
from sqlalchemy.dialects.mysql import DATETIME as MYSQL_DATETIME
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from trove_ng.common.clock import utcnow

#: names of constraints, so that migrations can address them on every engine
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

#: a time with microseconds on every engine
Moment = DateTime().with_variant(MYSQL_DATETIME(fsp=6), "mysql", "mariadb")
#: a text without a small limit
LongText = Text().with_variant(LONGTEXT(), "mysql", "mariadb")


def new_id() -> str:
    """Return a new resource id."""
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    """The declarative base."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        datetime.datetime: Moment,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Timestamps:
    """When a row was made and last changed, naive UTC."""

    created: Mapped[datetime.datetime] = mapped_column(default=utcnow)
    updated: Mapped[datetime.datetime] = mapped_column(
        default=utcnow, onupdate=utcnow)


class SoftDelete:
    """A row that stays for the record when its resource is gone."""

    deleted: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime.datetime | None]
