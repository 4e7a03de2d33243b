"""Which backups of a schedule are kept."""

from __future__ import annotations

import datetime

import pytest

from trove_ng.db.models import Backup
from trove_ng.domain.retention import expendable

NOW = datetime.datetime(2026, 1, 10)  # noqa: DTZ001


def backups(*states: str, chained: bool = False) -> list[Backup]:
    """Return backups of one day after the other, the newest, which is the first, of today."""
    return [Backup(id=str(age), state=state, created=NOW - datetime.timedelta(days=age),
                   parent_id=str(age + 1) if chained and age + 1 < len(states) else None)
            for age, state in enumerate(states)]


@pytest.mark.parametrize(("states", "gone"), [
    (("COMPLETED", "COMPLETED", "COMPLETED"), ["1", "2"]),
    (("CORRUPT", "COMPLETED", "COMPLETED"), ["2"]),
    (("CORRUPT", "CORRUPT", "COMPLETED"), []),
    (("COMPLETED", "CORRUPT", "COMPLETED"), ["1", "2"]),
    (("CORRUPT", "FAILED"), []),
])
def test_the_last_good_one_is_kept(states: tuple[str, ...], gone: list[str]) -> None:
    assert expendable(backups(*states), 1, None, NOW) == gone
    assert expendable(backups(*states), None, 1, NOW + datetime.timedelta(days=9)) == gone


def test_what_continues_a_corrupt_one_is_not_good() -> None:
    chain = backups("COMPLETED", "CORRUPT", "COMPLETED", chained=True)
    older = Backup(id="full", state="COMPLETED", created=NOW - datetime.timedelta(days=9))
    # "2" can be restored; it is newer than the full one
    assert expendable([*chain, older], 1, None, NOW) == ["full"]
    chain[2].state = "CORRUPT"
    assert expendable([*chain, older], 1, None, NOW) == []
