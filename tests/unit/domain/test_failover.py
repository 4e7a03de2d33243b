"""When a source is given up: what must never be, whatever is told, and each reason once."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trove_ng.common.states import ServiceStatus
from trove_ng.domain.failover import (
    PATIENCE,
    FailOver,
    Member,
    Refuse,
    Settings,
    Wait,
    decide,
    has_no_more,
    member,
)
from trove_ng.domain.instance_status import Facts, Task

WANTED = Settings(timeout=15, min_interval=600)
WORKS = Facts(server_status="ACTIVE", service_status=ServiceStatus.HEALTHY, heartbeat_age=1.0)
SILENT = Member("s", dataclasses.replace(WORKS, heartbeat_age=16.0))
ONE = Member("1", WORKS, connected=False, applies=True, lag=0, unheard=12, progress=7,
             heard_for=3600)
TWO = dataclasses.replace(ONE, id="2")
#: a source whose agent lives, and a replica that lost it as its database ended
ENDED = Member("s", dataclasses.replace(WORKS, service_status=ServiceStatus.CRASHED), down=61.0)
LEFT = dataclasses.replace(ONE, unheard=58)

_AGES = st.none() | st.floats(0, 120)
_FACTS = st.builds(
    Facts, task=st.sampled_from([
        Task.NONE, Task.NONE, Task.NONE, Task.RESTARTING, Task.BUILDING]),
    error=st.sampled_from(["", "", "UNDO", "BUILD"]),
    server_status=st.sampled_from(["ACTIVE", "ACTIVE", "SHUTOFF", None]),
    service_status=st.sampled_from(list(ServiceStatus)), heartbeat_age=_AGES,
    backup_running=st.booleans())
_WORDS = st.none() | st.booleans()
_MEMBERS = st.builds(Member, st.just("?"), _FACTS | st.just(WORKS), _WORDS | st.just(False),
                     _WORDS | st.just(True), st.none() | st.floats(0, 100),
                     st.none() | st.floats(0, 200), st.none() | st.integers(0, 3),
                     st.none() | st.floats(0, 200), st.none() | st.floats(0, 600),
                     st.sampled_from(["", "", "", "later"]))
_SETS = st.lists(_MEMBERS, max_size=4).map(lambda found: [
    dataclasses.replace(one, id=str(number)) for number, one in enumerate(found)])
_SETTINGS = st.builds(Settings, st.floats(3, 60), st.floats(0, 3600),
                      st.none() | st.floats(0, 60))


def with_facts(one: Member, **values: object) -> Member:
    return dataclasses.replace(one, facts=dataclasses.replace(one.facts, **values))


@given(_SETTINGS, _MEMBERS | st.just(SILENT) | st.just(ENDED), _SETS,
       st.none() | st.floats(0, 7200))
@settings(max_examples=1000)
def test_a_failover_never_breaks_a_rule(
        wanted: Settings, source: Member, replicas: list[Member], since: float | None) -> None:
    found = decide(wanted, source, replicas, since)
    if not isinstance(found, FailOver):
        assert found.why.endswith(".")
        return
    by_id = {one.id: one for one in replicas}
    heard = [one for one in replicas if one.is_heard(wanted.timeout)]
    assert source.facts.heartbeat_age is not None
    silence = source.facts.heartbeat_age
    assert found.living is (silence <= wanted.timeout)
    if found.living:
        assert source.down is not None and source.down > PATIENCE * wanted.timeout
        silence = source.down
    assert not any(one.connected for one in heard)
    assert source.facts.service_status != ServiceStatus.SHUTDOWN
    lost = [one for one in heard if one.connected is False and one.unheard is not None
            and one.unheard + (one.facts.heartbeat_age or 0) <= silence + wanted.timeout
            and one.heard_for is not None and one.heard_for >= wanted.timeout
            and (not found.living or one.unheard >= wanted.timeout)]
    made = [one for one in replicas
            if one.facts.task != Task.BUILDING and one.facts.error != "BUILD"]
    assert 2 * len([one for one in lost if one in made]) >= len(made) > 0
    latest = min((by_id[ident] for ident in found.replica_ids), key=lambda one: one.last_word)
    most = max(by_id[ident].progress or 0 for ident in found.replica_ids
               if by_id[ident].history == latest.history)
    for one in replicas:
        if one.history == latest.history:
            assert (one.progress or 0) <= most
        elif one.id not in found.replica_ids:
            assert one.progress is None or one.last_word > latest.last_word
    assert {one.facts.task for one in (source, *made)} == {Task.NONE}
    assert since is None or since >= wanted.min_interval
    assert found.replica_ids
    for ident in found.replica_ids:
        one = by_id[ident]
        assert one in lost and one.applies
        assert (one.facts.error, one.facts.server_status) == ("", "ACTIVE")
        assert one.facts.service_status in (ServiceStatus.HEALTHY, ServiceStatus.RUNNING)
        assert wanted.max_lag is None or (one.lag is not None and one.lag <= wanted.max_lag)


@given(_SETTINGS, _SETS, st.none() | st.floats(0, 7200), st.data())
def test_one_replica_that_hears_the_source_is_enough_for_it_to_stay(
        wanted: Settings, replicas: list[Member], since: float | None, data: st.DataObject,
        ) -> None:
    assume(replicas)
    place = data.draw(st.integers(0, len(replicas) - 1))
    replicas[place] = dataclasses.replace(
        replicas[place], connected=True,
        facts=dataclasses.replace(replicas[place].facts, heartbeat_age=wanted.timeout))
    assert isinstance(decide(wanted, SILENT, replicas, since), Wait)


def test_a_lost_source_is_given_up_for_all_that_can_take_its_place() -> None:
    assert decide(WANTED, SILENT, [TWO, ONE], None) == FailOver(("1", "2"))
    assert decide(WANTED, SILENT, [ONE], 600) == FailOver(("1",))
    # an operating system, and a database, that were seen last do not matter
    assert decide(WANTED, with_facts(SILENT, service_status=ServiceStatus.CRASHED, error="X"),
                  [ONE], None) == FailOver(("1",))


def test_a_replica_whose_agent_began_during_the_outage_says_that_it_lost_the_source() -> None:
    # both machines were restarted, and the source's did not come back
    source = with_facts(SILENT, heartbeat_age=90)
    begun = dataclasses.replace(ONE, unheard=91, heard_for=15)
    assert decide(WANTED, source, [begun], None) == FailOver(("1",))
    for wrong in ({"heard_for": 14}, {"unheard": None}, {"unheard": 105}):
        assert isinstance(decide(WANTED, source, [dataclasses.replace(begun, **wrong)], None),
                          Refuse)


def test_whoever_heard_the_source_last_has_the_latest_history() -> None:
    after = dataclasses.replace(ONE, history="after", progress=1)
    # it lost the source long before that began again, or died then
    for wrong in (with_facts(TWO, heartbeat_age=7200), with_facts(
            dataclasses.replace(TWO, connected=True, unheard=None), heartbeat_age=16),
            dataclasses.replace(TWO, unheard=99), dataclasses.replace(TWO, unheard=None)):
        before = dataclasses.replace(wrong, history="before", progress=900)
        assert decide(WANTED, SILENT, [after, before], None) == FailOver(("1",), ("2",))
    # both may: they are asked
    before = dataclasses.replace(TWO, history="before", progress=900)
    assert decide(WANTED, SILENT, [after, before], None) == FailOver(("1", "2"))
    # it heard the source later than the one that is left
    later = with_facts(dataclasses.replace(TWO, connected=False, unheard=2, applies=False),
                       heartbeat_age=5)
    assert decide(WANTED, SILENT, [dataclasses.replace(ONE, history="before", progress=900),
                                   dataclasses.replace(later, history="after", progress=1)],
                  None) == Refuse("Replica 2 has more changes than those that can take its place.")


@pytest.mark.parametrize(("told", "without"), [
    ({"progress": 5, "history": "a"}, True), ({"progress": 6, "history": "a"}, False),
    ({"progress": 1, "history": "b"}, False), ({"progress": 1}, False),
    ({"progress": "1", "history": "b"}, True), ({"history": "b"}, True), ({}, True)])
def test_a_replica_is_done_without_that_told_of_nothing_others_may_lack(
        told: dict[str, object], *, without: bool) -> None:
    assert has_no_more({"replication": told}, 5, "a") is without


def test_a_replica_that_cannot_take_the_place_may_follow_who_does() -> None:
    for wrong in (
            dataclasses.replace(TWO, applies=False), dataclasses.replace(TWO, applies=None),
            with_facts(TWO, service_status=ServiceStatus.CRASHED),
            with_facts(TWO, server_status="SHUTOFF"), with_facts(TWO, error="UNDO"),
            with_facts(TWO, heartbeat_age=None), with_facts(TWO, heartbeat_age=20)):
        assert decide(WANTED, SILENT, [ONE, wrong], None) == FailOver(("1",), ("2",))


def test_replicas_that_were_never_made_are_not_counted_nor_waited_for() -> None:
    new = Member("new", Facts(task=Task.BUILDING, service_status=ServiceStatus.BUILDING,
                              server_status="ACTIVE", heartbeat_age=1), heard_for=100)
    failed = Member("failed", Facts(error="BUILD", service_status=ServiceStatus.NEW))
    found = [ONE, new, failed, dataclasses.replace(failed, id="other")]
    assert decide(WANTED, SILENT, found, None) == FailOver(("1",))
    assert isinstance(decide(WANTED, SILENT, [new, failed], None), Wait)
    # what hears the source does so, whatever it is; and nobody knows whether the other one has it
    hearing = dataclasses.replace(new, connected=True)
    assert isinstance(decide(WANTED, SILENT, [ONE, hearing], None), Wait)
    ahead = decide(WANTED, SILENT, [ONE, dataclasses.replace(failed, progress=8)], None)
    assert isinstance(ahead, Refuse) and "has more changes" in ahead.why
    # another repair is no making
    busy = decide(WANTED, SILENT, [ONE, with_facts(TWO, task=Task.REBUILDING)], None)
    assert busy == Refuse("Something is done with instance 2.")


@pytest.mark.parametrize(("lag", "most", "taken"), [
    (5, 5, True), (6, 5, False), (None, 5, False), (None, None, True), (99, None, True)])
def test_a_replica_may_be_behind_as_far_as_its_owner_says(
        lag: float | None, most: float | None, taken: bool) -> None:
    found = decide(dataclasses.replace(WANTED, max_lag=most), SILENT,
                   [dataclasses.replace(ONE, lag=lag)], None)
    assert isinstance(found, FailOver if taken else Refuse)
    assert taken or "behind the source by more than 5 seconds" in found.why


@given(_SETTINGS, _SETS, st.none() | st.floats(0, 7200), st.floats(0, 600))
def test_a_source_whose_database_may_come_back_stays(
        wanted: Settings, replicas: list[Member], since: float | None, down: float) -> None:
    assume(down <= PATIENCE * wanted.timeout)
    source = dataclasses.replace(with_facts(ENDED, heartbeat_age=wanted.timeout), down=down)
    assert decide(wanted, source, replicas, since) == Wait("The source is heard of.")


def test_a_database_that_does_not_come_back_is_given_up_though_its_agent_lives() -> None:
    two = dataclasses.replace(LEFT, id="2")
    assert decide(WANTED, ENDED, [LEFT, two], None) == FailOver(("1", "2"), living=True)
    assert decide(WANTED, with_facts(ENDED, service_status=ServiceStatus.BLOCKED), [LEFT],
                  None) == FailOver(("1",), living=True)
    # its server died after its database, at once or later
    for silence, down in ((16, 61.0), (100, 200.0), (86400, 86500.0)):
        assert decide(
            WANTED, dataclasses.replace(with_facts(ENDED, heartbeat_age=silence), down=down),
            [dataclasses.replace(LEFT, unheard=down - 3)], None) == FailOver(("1",))
    # it is one that is silent by now
    assert decide(WANTED, with_facts(ENDED, heartbeat_age=16), [ONE], None) == FailOver(("1",))


@pytest.mark.parametrize(("source", "replicas", "since", "kind", "why"), [
    (dataclasses.replace(ENDED, down=60), [LEFT], None, Wait, "The source is heard of."),
    (ENDED, [LEFT, dataclasses.replace(LEFT, id="2", connected=True)], None, Wait,
     "Replica 2 hears the source."),
    # it lost it a moment ago, or long before, or is answered there
    *((ENDED, [dataclasses.replace(LEFT, **wrong)], None, Refuse,
       "Only 0 of 1 replicas say that they lost the source when its database ended.")
      for wrong in ({"unheard": 14}, {"unheard": 77}, {"unheard": None}, {"heard_for": 14})),
    (with_facts(ENDED, task=Task.RESTARTING), [LEFT], None, Refuse,
     "Something is done with instance s."),
    (ENDED, [LEFT], 599.9, Refuse, "The last failover was less than 600 seconds ago."),
    (with_facts(SILENT, heartbeat_age=15), [ONE], None, Wait, "The source is heard of."),
    (with_facts(SILENT, heartbeat_age=None), [ONE], None, Wait, "The source is heard of."),
    (SILENT, [], None, Wait, "The source has no replicas."),
    (SILENT, [ONE, dataclasses.replace(TWO, connected=True)], None, Wait,
     "Replica 2 hears the source."),
    (SILENT, [dataclasses.replace(ONE, connected=None)], None, Refuse,
     "Only 0 of 1 replicas say that they lost the source when it fell silent."),
    (SILENT, [ONE, with_facts(TWO, heartbeat_age=16), dataclasses.replace(
        TWO, id="3", connected=None)], None, Refuse,
     "Only 1 of 3 replicas say that they lost the source when it fell silent."),
    # it was stopped, or refused; long before; its agent was silent itself; it was stopped
    *((SILENT, [dataclasses.replace(ONE, **wrong)], None, Refuse,
       "Only 0 of 1 replicas say that they lost the source when it fell silent.")
      for wrong in ({"unheard": None}, {"unheard": 31}, {"heard_for": None}, {"heard_for": 14})),
    (with_facts(SILENT, service_status=ServiceStatus.SHUTDOWN), [ONE], None, Wait,
     "The database of the source was stopped."),
    *((SILENT, [ONE, dataclasses.replace(ahead, id="2", progress=8)], None, Refuse,
       "Replica 2 has more changes than those that can take its place.")
      for ahead in (with_facts(ONE, heartbeat_age=16), with_facts(ONE, heartbeat_age=7200),
                    dataclasses.replace(ONE, connected=None),
                    dataclasses.replace(ONE, applies=False))),
    (with_facts(SILENT, task=Task.RESTARTING), [ONE], None, Refuse,
     "Something is done with instance s."),
    (SILENT, [ONE, with_facts(TWO, task=Task.DETACHING)], None, Refuse,
     "Something is done with instance 2."),
    (SILENT, [ONE], 599.9, Refuse, "The last failover was less than 600 seconds ago."),
    (SILENT, [dataclasses.replace(ONE, applies=False)], None, Refuse,
     "Replica 1 cannot take its place: it does not apply what it received."),
    (SILENT, [with_facts(ONE, service_status=ServiceStatus.BLOCKED)], None, Refuse,
     "Replica 1 cannot take its place: its database is BLOCKED."),
])
def test_a_source_stays_for_a_reason(source: Member, replicas: list[Member], since: float | None,
                                     kind: type, why: str) -> None:
    assert decide(WANTED, source, replicas, since) == kind(why)


_NOTHING = (None,) * 5


@pytest.mark.parametrize(("details", "told"), [
    ({"replication": {"connected": False, "applies": True, "last_lag": 3, "unheard": 4,
                      "progress": 5}}, (False, True, 3, 4, 5)),
    ({"replication": {"connected": 0, "applies": "yes", "last_lag": True, "unheard": "1",
                      "progress": False}}, _NOTHING),
    ({"replication": {"last_lag": -1, "unheard": -1, "progress": -1}}, _NOTHING),
    ({"replication": []}, _NOTHING), ({}, _NOTHING), (None, _NOTHING), ("x", _NOTHING)])
def test_the_word_of_an_agent_is_not_trusted(details: object, told: object) -> None:
    found = member("1", WORKS, details, 9.0)
    assert (found.connected, found.applies, found.lag, found.unheard, found.progress) == told
    assert (found.heard_for, found.history) == (9.0, "")


def test_the_history_is_told_in_words() -> None:
    assert [member("1", WORKS, {"replication": {"history": one}}, None).history
            for one in ("abc", 7, None, ["abc"])] == ["abc", "", "", ""]
