"""Who asks: the identity a request carries through API and operations."""

from __future__ import annotations

import dataclasses
import uuid


@dataclasses.dataclass(frozen=True)
class RequestContext:
    """The caller of one request.  It holds no token: see ``operations``.

    :param project_id: the caller's project (the specs' tenant)
    :param user_id: the caller's user id
    :param roles: role names, lower case
    :param is_admin: True if the policy's ``context_is_admin`` holds
    :param request_id: ``req-<uuid>``
    :param region: region of the endpoint
    :param client: address and port that the request came from; empty: it came from no
        request
    """

    project_id: str
    user_id: str = ""
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    request_id: str = ""
    region: str = "RegionOne"
    user_name: str = ""
    project_name: str = ""
    client: str = ""


def of_its_own(project_id: str, user_id: str | None = None) -> RequestContext:
    """Return the context of work that nobody asks for now.

    :param user_id: whom the work is done for, if it is known
    """
    return RequestContext(project_id=project_id, user_id=user_id or "",
                          request_id=f"req-{uuid.uuid4()}")
