"""Microversions and error bodies of Nova and Cinder. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trove_ng.standalone.minicloud.nova_call import CloudFault, Version

_FORM = re.compile(r"^([1-9]\d*)\.([1-9]\d*|0)$")

FAULT_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound",
    405: "badMethod", 406: "notAcceptable", 409: "conflictingRequest", 413: "overLimit",
    415: "badMediaType", 429: "overLimit", 501: "notImplemented", 503: "serviceUnavailable",
}


def negotiate(
    headers: Mapping[str, str], service: str, minimum: Version, maximum: Version,
) -> Version:
    """Return the microversion that a request asks for, the lowest one if it does not ask.

    Raises CloudFault 400 for a version that is none, 406 for one that is not served.
    """
    wanted = _asked(headers, service)
    if wanted is None:
        return minimum
    if wanted == "latest":
        return maximum
    found = _FORM.match(wanted)
    if found is None:
        raise CloudFault(
            400, f"API Version String '{wanted}' is of invalid format. Must be of format "
            "MajorNum.MinorNum.")
    version = (int(found[1]), int(found[2]))
    if not minimum <= version <= maximum:
        raise CloudFault(
            406, f"Version {wanted} is not supported by the API. Minimum is "
            f"{text(minimum)} and maximum is {text(maximum)}.")
    return version


def _asked(headers: Mapping[str, str], service: str) -> str | None:
    for part in headers.get("OpenStack-API-Version", "").split(","):
        words = part.split()
        if len(words) == 2 and words[0].lower() == service:
            return words[1]
    if service == "compute":
        return headers.get("X-OpenStack-Nova-API-Version")
    return None


def text(version: Version) -> str:
    """Return the dotted form of a microversion."""
    return f"{version[0]}.{version[1]}"


def version_headers(service: str, version: Version) -> dict[str, str]:
    """Return the headers that tell a client which microversion it got."""
    headers = {"OpenStack-API-Version": f"{service} {text(version)}",
               "Vary": "OpenStack-API-Version"}
    if service == "compute":
        headers["X-OpenStack-Nova-API-Version"] = text(version)
        headers["Vary"] += ", X-OpenStack-Nova-API-Version"
    return headers


def error_body(status: int, message: str) -> dict[str, Any]:
    """Return an error as Nova and Cinder show it."""
    body: dict[str, Any] = {"code": status, "message": message}
    if status in (413, 429):
        body["retryAfter"] = "0"
    return {FAULT_NAMES.get(status, "computeFault"): body}
