"""What instances of a version can do."""

from __future__ import annotations

import dataclasses

import pytest

from trove_ng.datastores import base
from trove_ng.datastores.base import Capabilities, Lack
from trove_ng.domain.capabilities import MEANINGS, declared, reasons, switched, values

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
    told = reasons(switched(base.get("redis"), {"root", "databases"}))
    # what it never had is not the operator's doing
    assert told["databases"].startswith("The databases of Redis are numbers")
    assert told["root"] == "The operator switched it off."
    assert values(switched(base.get("redis"), {"tls"})) == {"tls": []}


def test_what_is_switched_off_is_lost_and_nothing_is_won() -> None:
    found = switched(ENGINE, {"users", "root", "unknown"})
    assert declared(found) == {**declared(ENGINE), "users": False}
    assert declared(ENGINE)["users"] is True


def test_an_engine_with_nothing_switched_off_is_itself() -> None:
    assert switched(ENGINE, set()) is ENGINE


@pytest.mark.parametrize(("version", "able"), [
    ("12", False), ("12.19", False), ("postgresql-12", False), ("9.6", False), ("13", True),
    ("15.6", True), ("latest", True), ("", True)])
def test_a_version_lacks_what_came_later(version: str, able: bool) -> None:
    found = dataclasses.replace(base.get("postgresql"), lacks=(
        Lack("incremental_backups", "13", "It has no log."),)).of(version)
    assert found.capabilities.incremental_backups is able
    assert ("incremental_backups" in reasons(found)) is not able
    assert found.capabilities.log_archiving


def test_ways_of_a_capability_are_told() -> None:
    assert values(base.get("mariadb")) == {"tls": ["basic", "enforced"]}
    assert values(base.get("postgresql")) == {"tls": ["basic", "enforced", "mtls"]}


def test_what_takes_a_sources_place_by_itself_can_take_it() -> None:
    for one in base.load_datastores().values():
        able = one.capabilities
        assert able.automatic_failover <= able.promotion <= able.replication
        assert able.tls is bool(one.tls_modes)
        assert {lack.name for lack in one.lacks} <= {
            name for name, has in declared(one).items() if has}
