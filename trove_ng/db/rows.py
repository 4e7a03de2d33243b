"""The types of what a query of several columns gives."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select
from sqlalchemy.orm import Session

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
#: what plain reads need: rows, no objects
Reader = Session | Connection
