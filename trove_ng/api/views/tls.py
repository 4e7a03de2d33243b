"""Views of TLS, which the API calls ``ssl``."""

from __future__ import annotations

from typing import Any

from trove_ng.domain.certificates import describe


def planned(mode: str | None, restart_required: bool) -> dict[str, Any]:
    """Return the view of what an operation makes.

    :param mode: None: no TLS
    """
    return {"status": "off" if mode is None else "on", "mode": mode,
            "restart_required": restart_required}


def present(row: Any, restart_required: bool, *, whole: bool) -> dict[str, Any]:
    """Return the view of what is in force.

    :param row: mode, certificate and authority; None: no TLS
    :param whole: show the certificates, too
    """
    if row is None or row.mode is None:
        return planned(None, restart_required)
    found = describe(row.certificate)
    certificate: dict[str, Any] = {
        "cn": found.common_name, "san": list(found.names),
        "expire_at": found.expires_at.isoformat()}
    if whole:
        certificate["payload"] = row.certificate
        certificate["authority"] = row.authority
    return {**planned(row.mode, restart_required), "container_ref": row.reference,
            "certificate": certificate}
