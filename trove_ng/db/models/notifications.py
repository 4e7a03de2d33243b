"""Notifications that wait to be sent."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base


class Notification(Base):
    """One notification, until it is sent: written with the change that it tells.

    Ids sort by time (:func:`trove_ng.db.models.base.ordered_id`), but for those of periods.
    """

    __tablename__ = "notifications"

    #: the message's id, the same whenever it is sent again
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    event_type: Mapped[str] = mapped_column(String(64))
    #: INFO, ERROR
    priority: Mapped[str] = mapped_column(String(16))
    #: service and host; empty: whoever sends it
    publisher: Mapped[str] = mapped_column(String(255), default="")
    #: request_id, project_id, user_id
    context: Mapped[dict[str, Any]] = mapped_column(default=dict)
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: when what it tells happened
    created: Mapped[datetime.datetime]
    #: sent from then on
    due_at: Mapped[datetime.datetime]
