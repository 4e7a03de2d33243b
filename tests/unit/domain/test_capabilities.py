"""What instances of a version can do."""

from __future__ import annotations

import dataclasses

import pytest

from trove_ng.datastores import base
from trove_ng.datastores.base import Capabilities
from trove_ng.domain.capabilities import MEANINGS, declared, reasons, switched

ENGINE = dataclasses.replace(
    base.get("mariadb"), capabilities=Capabilities(users=True, root=False))


def test_every_capability_has_a_meaning() -> None:
    assert set(MEANINGS) == {field.name for field in dataclasses.fields(Capabilities)}


@pytest.mark.parametrize("engine", base.load_datastores().values(),
                         ids=base.load_datastores())
def test_an_engine_says_why_it_lacks_what_it_lacks(engine: base.Datastore) -> None:
    assert set(engine.why_not) == {name for name, able in declared(engine).items() if not able}
    assert all(one[0].isupper() and one.endswith(".") for one in engine.why_not.values())


def test_what_is_there_may_be_switched_off() -> None:
    told = reasons(base.get("redis"))
    assert set(told) == set(MEANINGS)
    assert told["databases"].startswith("The databases of Redis are numbers")
    assert told["root"] == "The operator switched it off."


def test_what_is_switched_off_is_lost_and_nothing_is_won() -> None:
    found = switched(ENGINE, {"users", "root", "unknown"})
    assert declared(found) == {**declared(ENGINE), "users": False}
    assert declared(ENGINE)["users"] is True


def test_an_engine_with_nothing_switched_off_is_itself() -> None:
    assert switched(ENGINE, set()) is ENGINE
