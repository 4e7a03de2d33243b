"""Columns whose texts are sealed: sealing them anew, and telling with what they are."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from trove_ng.common.crypto import SecretBox
from trove_ng.db.models import Backup, InstanceKey, LogArchive, Module, Operation
from trove_ng.db.models.base import Timestamps


@dataclasses.dataclass(frozen=True)
class Sealed:
    """Sealed columns of one table.

    :param model: of the table
    :param ident: column of the id that names in what row a text stands
    :param columns: names of the columns; an empty one holds nothing
    :param kind: put before the id where one box seals texts of several tables
    """

    model: type[Timestamps]
    ident: InstrumentedAttribute[str]
    columns: tuple[str, ...]
    kind: str = ""

    def bound(self, ident: str) -> str:
        """Return what the texts of a row are sealed for."""
        return f"{self.kind}/{ident}" if self.kind else ident

    def reseal(self, session: Session, box: SecretBox) -> int:
        """Seal all texts with the newest secret; return of how many rows.

        Nothing else of a row changes, not even when it was changed last.

        :raises trove_ng.common.crypto.DecryptError: one cannot be read
        """
        count = 0
        for ident, *texts in session.execute(self._rows().with_for_update()).all():
            bound = self.bound(ident)
            values: dict[str, Any] = {
                name: box.seal(box.open(text, bound), bound)
                for name, text in zip(self.columns, texts, strict=True) if text}
            if values:
                session.execute(update(self.model).where(self.ident == ident).values(
                    {"updated": self.model.updated} | values))
                count += 1
        return count

    def sealed_with(self, session: Session) -> Counter[str]:
        """Return public name of a secret → how many texts are sealed with it."""
        return Counter(SecretBox.name_of(text) for row in session.execute(self._rows())
                       for text in row[1:] if text)

    def _rows(self) -> Select[Any]:
        return select(self.ident, *(getattr(self.model, name) for name in self.columns))


#: the guests' keys
GUESTS = Sealed(InstanceKey, InstanceKey.instance_id,
                ("encrypted_key", "next_key", "previous_key"))
BACKUPS = Sealed(Backup, Backup.id, ("sealed_key",), "backup")
LOG_ARCHIVES = Sealed(LogArchive, LogArchive.instance_id, ("sealed_key",), "log_archive")
#: what operations need until they end; without it they would fail with the old secret
OPERATIONS = Sealed(Operation, Operation.id, ("secrets",))
MODULES = Sealed(Module, Module.id, ("contents",))
