"""Rules of modules: who may make them what."""

from __future__ import annotations

import dataclasses

from trove_ng.common.errors import BadRequest, Forbidden

#: what stands for every project, datastore or version
ALL = "all"
OK = "OK"
FAILED = "FAILED"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What only administrators may change from these defaults."""

    all_tenants: bool = False
    auto_apply: bool = False
    visible: bool = True
    priority_apply: bool = False

    def special(self) -> list[str]:
        """Return the names of those that are not as by default."""
        return [field.name for field in dataclasses.fields(self)
                if getattr(self, field.name) != field.default]


def administered(caller_is_admin: bool, before: Flags, after: Flags, was: bool | None,
                 full_access: bool | None) -> bool:
    """Return whether only administrators may change a module from now on.

    :param was: whether that is so already; None for a new module
    :param full_access: True: its project may change what an administrator made; False: it
        may not; None: not asked for
    :raises Forbidden: what is asked for is for administrators
    :raises BadRequest: full access does not go with what only administrators may ask for
    """
    new = [name for name in after.special() if name not in before.special()]
    if not caller_is_admin:
        wanted = new[:1] or (["full_access"] if full_access is not None else [])
        if wanted:
            raise Forbidden(f"module.{wanted[0]} is for administrators.")
        return bool(was)
    if full_access is not None:
        if full_access and after.special():
            raise BadRequest("Validation error: module.full_access does not go with "
                             f"{', '.join(after.special())}.")
        return not full_access
    # what an administrator makes is administered; what a project made, when it becomes special
    return True if was is None else was or bool(new)
