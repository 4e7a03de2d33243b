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


def ordered_id(moment: datetime.datetime) -> str:
    """Return a new id whose text sorts by a time, to the microsecond.

    It is a UUID of version 7 (RFC 9562): milliseconds, then the part below them.

    :param moment: naive UTC
    """
    micros = (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(  # noqa: DTZ001
        microseconds=1)
    millis, rest = divmod(micros, 1000)
    value = (millis << 80) | (7 << 76) | ((rest * 4096 // 1000) << 64) | (2 << 62)
    return str(uuid.UUID(int=value | (uuid.uuid4().int & ((1 << 62) - 1))))


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
