"""What a datastore version allows: the same answer for lists and for what is asked for."""

from __future__ import annotations

import dataclasses
import enum
import operator
import re
from collections.abc import Iterable, Mapping, Sequence

from trove_ng.common.errors import BadRequest
from trove_ng.domain.catalog import Flavor, VolumeType

#: keys of what a version may be limited to
FLAVOR = "flavor"
VOLUME_TYPE = "volume-type"

_NUMBER = re.compile(r"\d+(\.\d+)*")


class Visibility(enum.StrEnum):
    """Who sees a version that is active.  Administrators see all versions."""

    #: everybody
    PUBLIC = "public"
    #: the projects that are its members
    PRIVATE = "private"
    #: everybody who knows its name or id; lists do not show it
    UNLISTED = "unlisted"
    #: nobody
    DEPRECATED = "deprecated"


def is_same_release(first: str, second: str) -> bool:
    """Return whether two numbers of versions are of one release, as 15 and 15.4 are.

    What is no number is of no release but its own.
    """
    if first == second:
        return True
    found = _NUMBER.search(first), _NUMBER.search(second)
    if found[0] is None or found[1] is None:
        return False
    return all(map(operator.eq, found[0][0].split("."), found[1][0].split(".")))


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a version is limited to; nothing means no limit.

    :param flavors: ids
    :param volume_types: ids or names
    """

    flavors: frozenset[str] = frozenset()
    volume_types: frozenset[str] = frozenset()

    @classmethod
    def of(cls, bindings: Mapping[str, Iterable[str]]) -> Limits:
        """Return the limits that are stored, by key."""
        return cls(frozenset(bindings.get(FLAVOR, ())),
                   frozenset(bindings.get(VOLUME_TYPE, ())))

    def allowed_flavors(self, known: Iterable[Flavor]) -> list[Flavor]:
        """Return those of the cloud's flavors that instances may have.

        Those that are not public are the operator's to give: by limiting the version to them.
        """
        return [one for one in known
                if (one.id in self.flavors if self.flavors else one.is_public)]

    def check_flavor(self, field: str, wanted: Flavor) -> None:
        """Refuse a flavor that instances may not have.

        :raises BadRequest: names the field
        """
        if not self.allowed_flavors([wanted]):
            raise BadRequest(f"Validation error: {field} {wanted.id} is not allowed for the "
                             "datastore version.")

    def allowed_volume_types(self, known: Iterable[VolumeType]) -> list[VolumeType]:
        """Return those of the cloud's volume types that may be asked for.

        What the version is limited to may be gone from the cloud.  Types that are not public
        are the operator's to give: by limiting the version to them.
        """
        if not self.volume_types:
            return [one for one in known if one.is_public]
        return [one for one in known if {one.id, one.name} & self.volume_types]

    def volume_type(self, field: str, wanted: str | None, known: Sequence[VolumeType],
                    default: str | None, *, named: bool = True) -> str | None:
        """Return the volume type of a new instance; None leaves it to the cloud.

        :param wanted: id or name, None if there is none
        :param default: the operator's, taken when there is none
        :param named: the request names it, not the operator
        :raises BadRequest: it is not allowed, or not clear which one; names the field
        """
        allowed = self.allowed_volume_types(known)
        if self.volume_types and not allowed:
            raise BadRequest(f"Validation error: {field}: there is no valid volume type: none "
                             "of those that the datastore version is limited to exists.")
        name = wanted or default
        usable = allowed if self.volume_types or (named and wanted) else known
        if name is None and self.volume_types and len(allowed) == 1:
            name = allowed[0].name
        if name is None and not self.volume_types:
            return None
        if any(name in (one.id, one.name) for one in usable):
            return name
        if not self.volume_types:
            raise BadRequest(f"Validation error: {field} {name} does not exist.")
        raise BadRequest(f"Validation error: {field} must be one of "
                         f"{', '.join(sorted(one.name for one in allowed))} for the datastore "
                         "version.")
