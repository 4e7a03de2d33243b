"""Rate limits per project and verb."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from trove_ng.api.middleware.wsgi import CONTEXT, SEGMENTS, App, Environ, StartResponse
from trove_ng.common.errors import OverLimit
from trove_ng.common.metrics import SILENT, Recorder

if TYPE_CHECKING:
    from oslo_config import cfg

#: pairs of project and limit that are remembered at most
_MOST = 20000
_MINUTE = 60.0


@dataclasses.dataclass(frozen=True)
class Limit:
    """So many requests of a verb in a minute; 0 is no limit."""

    key: str
    verb: str
    uri: str
    per_minute: int


def limits_of(conf: cfg.ConfigOpts) -> dict[str, Limit]:
    """Return the configured limits by key."""
    limits = [
        Limit("GET", "GET", "*", conf.http_get_rate),
        Limit("POST", "POST", "*", conf.http_post_rate),
        Limit("PUT", "PUT", "*", conf.http_put_rate),
        Limit("DELETE", "DELETE", "*", conf.http_delete_rate),
        Limit("MGMT_POST", "POST", "*/mgmt*", conf.http_mgmt_post_rate),
    ]
    return {limit.key: limit for limit in limits}


class Buckets:
    """Leaky buckets: each request fills one drop, which drains at the limit's rate."""

    def __init__(self, limits: dict[str, Limit],
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._now = monotonic
        self._levels: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, tenant_id: str, key: str) -> float:
        """Add a request; return 0 if it may go on, else the seconds to wait."""
        limit = self.limits.get(key)
        if limit is None or limit.per_minute <= 0:
            return 0.0
        drain = limit.per_minute / _MINUTE
        now = self._now()
        with self._lock:
            level, at = self._levels.pop((tenant_id, key), (0.0, now))
            level = max(0.0, level - (now - at) * drain)
            over = level + 1 - limit.per_minute
            if over <= 0:
                level += 1
            self._levels[(tenant_id, key)] = (level, now)
            while len(self._levels) > _MOST:
                self._levels.popitem(last=False)
        return max(0.0, over / drain)

    def remaining(self, tenant_id: str, key: str) -> int:
        """Return how many requests may be sent at once now."""
        limit = self.limits[key]
        with self._lock:
            level, at = self._levels.get((tenant_id, key), (0.0, self._now()))
        level = max(0.0, level - (self._now() - at) * limit.per_minute / _MINUTE)
        return max(0, int(limit.per_minute - level))


class RateLimits:
    """Refuse requests above the limits with 413 and the time to wait."""

    def __init__(self, app: App, buckets: Buckets, recorder: Recorder = SILENT) -> None:
        self._recorder = recorder
        self._app = app
        self._buckets = buckets

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = str(environ["REQUEST_METHOD"])
        key = {"PATCH": "PUT", "HEAD": "GET"}.get(method, method)
        segments = environ[SEGMENTS]
        if key == "POST" and len(segments) > 2 and segments[2] == "mgmt":
            key = "MGMT_POST"
        wait = self._buckets.take(environ[CONTEXT].project_id, key)
        if wait > 0:
            limit = self._buckets.limits[key]
            self._recorder.api_rate_limited(key)
            raise OverLimit(
                f"Only {limit.per_minute} {limit.verb} requests a minute are allowed.",
                retry_after=math.ceil(wait))
        return self._app(environ, start_response)
