"""What instances of a version can do."""

from __future__ import annotations

import dataclasses

from trove_ng.datastores import base
from trove_ng.datastores.base import Capabilities
from trove_ng.domain.capabilities import MEANINGS, declared, switched

ENGINE = dataclasses.replace(
    base.get("mariadb"), capabilities=Capabilities(users=True, root=False))


def test_every_capability_has_a_meaning() -> None:
    assert set(MEANINGS) == {field.name for field in dataclasses.fields(Capabilities)}


def test_what_is_switched_off_is_lost_and_nothing_is_won() -> None:
    found = switched(ENGINE, {"users", "root", "unknown"})
    assert declared(found) == {**declared(ENGINE), "users": False}
    assert declared(ENGINE)["users"] is True


def test_an_engine_with_nothing_switched_off_is_itself() -> None:
    assert switched(ENGINE, set()) is ENGINE
