"""What can go wrong with the cloud, whichever client says it."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

LOG = logging.getLogger(__name__)


class CloudError(Exception):
    """The base.

    :param message: why; holds no secret
    """

    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CloudNotFound(CloudError):
    """The resource does not exist."""


class CloudConflict(CloudError):
    """The resource is in a state that does not allow it."""


class CloudOverQuota(CloudError):
    """The cloud's own quota is reached."""


class CloudUnavailable(CloudError):
    """The service does not answer; it may later."""

    retryable = True


class CloudRejected(CloudError):
    """The service refuses the request."""


_BY_STATUS: dict[int, type[CloudError]] = {
    404: CloudNotFound, 409: CloudConflict, 413: CloudOverQuota, 429: CloudUnavailable}
_QUOTA = re.compile(r"quota|OverLimit", re.IGNORECASE)
#: what follows a word that names a secret is not shown
#: where a service is inside is nobody's business
_URL = re.compile(r"https?://[^\s'\")]+")
_SECRET = re.compile(r"((?:password|token|temp_url_sig|secret)\S*[=:]\s*)\S+", re.IGNORECASE)


def translate(error: Exception, service: str) -> CloudError:
    """Return what an error of a client means.

    :param service: name for messages, for example ``compute``
    """
    status = _status(error)
    text = _SECRET.sub(r"\1***", str(getattr(error, "message", None) or error))[:500]
    if _is_connection_error(error):
        LOG.warning("the %s service does not answer: %s", service, text)
        return CloudUnavailable(f"The {service} service does not answer.")
    text = _URL.sub("(address)", text)
    if status >= 500:
        return CloudUnavailable(f"The {service} service does not answer: {text}")
    if status in (403, 413) and _QUOTA.search(text) or "OverQuota" in type(error).__name__:
        return CloudOverQuota(f"The {service} service's quota is reached: {text}")
    kind = _BY_STATUS.get(status, CloudRejected)
    return kind(f"The {service} service refused: {text}")


def _status(error: Exception) -> int:
    for name in ("http_status", "code", "status_code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and value:
            return value
    return 0


def _is_connection_error(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ConnectFailure", "ConnectTimeout", "ConnectionError", "Timeout",
                         "DiscoveryFailure", "ConnectionFailed", "RetriableConnectionFailure",
                         "EndpointNotFound", "UnknownConnectionError"})


@contextlib.contextmanager
def translated(service: str) -> Iterator[None]:
    """Turn whatever a client raises inside the block into a :class:`CloudError`."""
    try:
        yield
    except CloudError:
        raise
    except Exception as err:
        raise translate(err, service) from err
