from __future__ import annotations

import datetime

from trove_ng.common import clock


def test_the_time_is_naive_utc() -> None:
    now = clock.SystemClock().now()
    assert now.tzinfo is None
    assert abs((datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - now)
               .total_seconds()) < 5


def test_the_api_shows_times_to_the_second() -> None:
    assert clock.isoformat(datetime.datetime(2026, 1, 2, 3, 4, 5, 678)) == "2026-01-02T03:04:05"
    assert clock.isoformat(None) is None
