"""Images, by python-glanceclient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.types import Image


def _image(found: Any) -> Image:
    algorithm, value = found.get("os_hash_algo"), found.get("os_hash_value")
    return Image(id=found["id"], name=found["name"] or "", min_disk_gb=found["min_disk"] or 0,
                 min_ram_mb=found["min_ram"] or 0, md5=found.get("checksum") or "",
                 digest=f"{algorithm}:{value}" if algorithm and value else "")


class Images:
    """The image service.

    :param client: glanceclient's client
    """

    def __init__(self, client: Any, calls: Calls) -> None:
        self._client = client
        self._calls = calls

    def get_image(self, image_id: str) -> Image | None:
        """Return an image."""
        found = self._calls.found(self._client.images.get, image_id)
        return None if found is None else _image(found)

    def find_image(self, tags: Sequence[str]) -> Image | None:
        """Return the newest active image that has all the tags."""
        return next(iter(self.list_active(tag=list(tags))), None)

    def images_named(self, name: str) -> list[Image]:
        """Return the active images of a name, the newest first."""
        return self.list_active(name=name)

    def list_active(self, **filters: Any) -> list[Image]:
        """Return the active images that filters of Glance select, the newest first."""
        found = self._calls.again(lambda: list(self._client.images.list(
            filters={**filters, "status": "active"}, sort_key="created_at",
            sort_dir="desc")))
        return [_image(one) for one in sorted(
            found, key=lambda one: str(one["created_at"]), reverse=True)]
