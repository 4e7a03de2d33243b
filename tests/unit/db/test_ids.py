from __future__ import annotations

import datetime
import uuid

from trove_ng.db.models.base import ordered_id

START = datetime.datetime(2026, 1, 2, 3, 4, 5, 999_000)


def test_ids_sort_by_time_to_the_microsecond() -> None:
    made = [ordered_id(START + datetime.timedelta(microseconds=n)) for n in range(5000)]
    assert made == sorted(made)
    assert len({one[:18] for one in made}) == 5000


def test_they_are_uuids_of_version_7_and_differ() -> None:
    made = {ordered_id(START) for _ in range(100)}
    assert len(made) == 100
    for one in made:
        assert (uuid.UUID(one).version, uuid.UUID(one).variant) == (7, uuid.RFC_4122)
    millis = int(one.replace("-", "")[:12], 16)
    assert millis == int(START.replace(tzinfo=datetime.UTC).timestamp() * 1000)
