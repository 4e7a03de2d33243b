"""The APIs as the demo's user sees them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trove_ng.standalone.launcher.errors import LauncherError

_FAILED = ("ERROR", "FAILED")


class DatabaseApi:
    """The Trove API, and what the user has in the object store.

    :param session: keystoneauth1 session of the user
    :param region: of the services
    """

    def __init__(self, session: Any, region: str) -> None:
        self._session = session
        self._catalog = {
            "service_type": "database", "interface": "public", "region_name": region}
        self._objects = {**self._catalog, "service_type": "object-store"}

    def get(self, path: str) -> dict[str, Any]:
        """GET a resource."""
        found: dict[str, Any] = self._session.get(path, endpoint_filter=self._catalog).json()
        return found

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a resource."""
        made: dict[str, Any] = self._session.post(
            path, json=body, endpoint_filter=self._catalog).json()
        return made

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Change a resource."""
        self._session.patch(path, json=body, endpoint_filter=self._catalog)

    def delete(self, path: str) -> None:
        """Delete a resource."""
        self._session.delete(path, endpoint_filter=self._catalog)

    def exists(self, path: str) -> bool:
        """Whether a resource answers anything but 404."""
        status: int = self._session.get(
            path, endpoint_filter=self._catalog, raise_exc=False).status_code
        return status != 404

    def read_objects(self, container: str, prefix: str) -> str:
        """Return the text of all objects that begin with a prefix, one after another."""
        names = self._session.get(f"/{container}", endpoint_filter=self._objects, params={
            "prefix": prefix, "format": "json"}).json()
        return "".join(
            self._session.get(f"/{container}/{one['name']}", endpoint_filter=self._objects).text
            for one in names)

    def wait(self, kind: str, ident: str, wanted: str, seconds: float) -> dict[str, Any]:
        """Wait until an instance or backup has a status and return it.

        :raises LauncherError: it failed or took too long
        """
        shown: dict[str, Any] = {}

        def reached() -> bool:
            shown.update(self.get(f"/{kind}s/{ident}")[kind])
            if shown["status"] in _FAILED:
                raise LauncherError(
                    f"The {kind} {ident} is {shown['status']}: {shown.get('fault', '')}")
            return bool(shown["status"] == wanted)

        wait_for(reached, seconds, f"{kind} {ident} to be {wanted}")
        return shown

    def wait_gone(self, path: str, seconds: float) -> None:
        """Wait until a resource answers 404."""
        wait_for(lambda: not self.exists(path), seconds, f"the end of {path}")


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until a condition holds.

    :param seconds: the longest wait
    :param what: is waited for, for people
    :raises LauncherError: it took longer
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LauncherError(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(0.3)
