"""When the source of a set of replicas is given up, and which replicas may take its place.

The control plane alone cannot tell a source that is gone from one that it does not hear: the
replicas are asked, which speak with the source all the time on another way.  A word counts while
it is younger than the silence of the source that is to be judged.

The invariants, whatever is told:

- a source that was heard of within its time stays, unless it says itself, for some times that
  long, that its database serves nobody;
- one that a replica hears stays;
- at least half of the replicas say that nothing answers where it was, since about when it was
  silent: those that are silent, or were until now, that were stopped or refused, or that lost it
  long before, say nothing;
- one whose database was stopped on purpose stays;
- nothing begins while anything is done with a member, or too soon after the last time;
- a replica that is being made, or could not be made, is no member: it says nothing but that it
  hears the source, or has more than the others;
- only a replica that works, and applies what it received, may take the place, and none while
  another one told that it has more, or has another history that it heard the source's later.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from trove_ng.common.states import ServiceStatus
from trove_ng.domain.instance_status import Facts, Task, is_made, refuse_statement
from trove_ng.rpc.replication_messages import (
    APPLIES,
    CONNECTED,
    HISTORY,
    INTERVAL,
    LAST_LAG,
    LONGEST,
    PROGRESS,
    REPLICATION,
    UNHEARD,
)

AUTOMATIC, MANUAL = "automatic", "manual"
MODES = (AUTOMATIC, MANUAL)
#: times of silence for which a database may be down whose agent lives, and starts it again
PATIENCE = 4


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the owner of a set wants.

    :param timeout: seconds of silence after which the source may be given up
    :param min_interval: seconds between two failovers at least
    :param max_lag: seconds that a replica may have been behind when it last heard the source;
        None: any number
    """

    timeout: float
    min_interval: float
    max_lag: float | None = None


@dataclasses.dataclass(frozen=True)
class Member:
    """What is known of an instance of the set.

    :param connected: whether it hears the source, by its own word; None: it does not tell
    :param applies: whether it applies what it received; None: it does not tell
    :param lag: seconds that it was behind when it last heard the source
    :param unheard: seconds that it had tried to reach the source in vain when it told
    :param progress: how far the changes go that it told to have; of silent ones, too
    :param history: of what those are changes; empty: there is but one
    :param heard_for: seconds through which its agent was heard of all the time
    :param down: seconds for which its agent says that its database serves nobody
    """

    id: str
    facts: Facts
    connected: bool | None = None
    applies: bool | None = None
    lag: float | None = None
    unheard: float | None = None
    progress: int | None = None
    heard_for: float | None = None
    down: float | None = None
    history: str = ""

    @property
    def last_word(self) -> float:
        """Seconds since it heard the source, at least, by what it told."""
        age = self.facts.heartbeat_age
        known = 0.0 if self.connected else self.unheard
        return math.inf if age is None or known is None else age + known

    def is_heard(self, seconds: float) -> bool:
        """Return whether its agent was heard of in so many seconds."""
        age = self.facts.heartbeat_age
        return age is not None and age <= seconds

    def misses(self, silence: float, timeout: float) -> bool:
        """Return whether it lost the source as the control plane did, and was heard meanwhile."""
        return (self.is_heard(timeout) and self.connected is False and self.unheard is not None
                and self.unheard + (self.facts.heartbeat_age or 0) <= silence + timeout
                and self.heard_for is not None and self.heard_for >= timeout)


@dataclasses.dataclass(frozen=True)
class Wait:
    """Nothing is to be done, or it cannot be told yet."""

    why: str


@dataclasses.dataclass(frozen=True)
class Refuse:
    """The source is lost, and must stay all the same."""

    why: str


@dataclasses.dataclass(frozen=True)
class FailOver:
    """One of some replicas takes the source's place: that which has most, which they tell.

    :param others: ids of those that cannot, and may follow it
    :param living: the agent of the source speaks, and can see that its database stays down
    """

    replica_ids: tuple[str, ...]
    others: tuple[str, ...] = ()
    living: bool = False


Decision = Wait | Refuse | FailOver


def interval(details: Any) -> float | None:
    """Return the seconds between two heartbeats, as an agent tells them; it is not trusted."""
    told = details.get(INTERVAL) if isinstance(details, dict) else None
    known = isinstance(told, int | float) and not isinstance(told, bool) and 0 < told <= LONGEST
    return told if known else None


def member(ident: str, facts: Facts, details: Any, heard_for: float | None,
           down: float | None = None) -> Member:
    """Return what is known of a member.

    :param details: those of its heartbeat, which is not trusted
    """
    told = _told(details)

    def word(key: str) -> bool | None:
        return found if isinstance(found := told.get(key), bool) else None

    return Member(ident, facts, word(CONNECTED), word(APPLIES), _number(told, LAST_LAG),
                  _number(told, UNHEARD), progress(details), heard_for, down, history(details))


def progress(details: Any) -> int | None:
    """Return how far the changes go that a replica told to have; None: it did not tell.

    :param details: those of its heartbeat, which is not trusted
    """
    found = _number(_told(details), PROGRESS)
    return None if found is None else int(found)


def history(details: Any) -> str:
    """Return of what a replica told to have changes; empty: it did not tell, or of the only one.

    :param details: those of its heartbeat, which is not trusted
    """
    found = _told(details).get(HISTORY)
    return found if isinstance(found, str) else ""


def has_no_more(details: Any, most: int, of: str) -> bool:
    """Return whether a replica told of no changes that others may lack.

    :param details: those of its heartbeat, which is not trusted
    :param most: progress of those others
    :param of: history of that
    """
    told = progress(details)
    return told is None or (history(details) == of and told <= most)


def _told(details: Any) -> dict[str, Any]:
    told = details.get(REPLICATION) if isinstance(details, dict) else None
    return told if isinstance(told, dict) else {}


def _number(told: dict[str, Any], key: str) -> float | None:
    found = told.get(key)
    known = isinstance(found, int | float) and not isinstance(found, bool) and found >= 0
    return found if known else None


def decide(settings: Settings, source: Member, replicas: Sequence[Member],
           since_last: float | None) -> Decision:
    """Return what to do with a set.

    :param since_last: seconds since a failover of the set last began; None: never
    """
    silence = source.facts.heartbeat_age
    living = source.is_heard(settings.timeout)
    if silence is None or living and (
            source.down is None or source.down <= PATIENCE * settings.timeout):
        return Wait("The source is heard of.")
    # its database may have ended before its agent did
    lost = max(silence, source.down or 0.0)
    if not replicas:
        return Wait("The source has no replicas.")
    words = [one for one in replicas if one.is_heard(settings.timeout)]
    # the others never followed it, and may never do
    members = [one for one in replicas if is_made(one.facts)]
    if not members:
        return Wait("No replica of the source is made yet.")
    hearing = next((one for one in words if one.connected), None)
    if hearing is not None:
        return Wait(f"Replica {hearing.id} hears the source.")
    if source.facts.service_status == ServiceStatus.SHUTDOWN:
        return Wait("The database of the source was stopped.")
    witnesses = [one for one in members if one.misses(lost, settings.timeout) and (
        not living or (one.unheard or 0) >= settings.timeout)]
    if 2 * len(witnesses) < len(members):
        return Refuse(f"Only {len(witnesses)} of {len(members)} replicas say that they lost the "
                      f"source when {'its database ended' if living else 'it fell silent'}.")
    found = _choose(settings, source, replicas, witnesses, since_last)
    return dataclasses.replace(found, living=living) if isinstance(found, FailOver) else found


def _choose(settings: Settings, source: Member, replicas: Sequence[Member],
            witnesses: Sequence[Member], since_last: float | None) -> Refuse | FailOver:
    """Return who may take the place of a source that is lost."""
    busy = next((one for one in (source, *filter(lambda one: is_made(one.facts), replicas))
                 if one.facts.task != Task.NONE), None)
    if busy is not None:
        return Refuse(f"Something is done with instance {busy.id}.")
    if since_last is not None and since_last < settings.min_interval:
        return Refuse(f"The last failover was less than {settings.min_interval:g} seconds ago.")
    usable = [one for one in witnesses if why_not(settings, one) is None]
    if not usable:
        return Refuse(" ".join(f"Replica {one.id} cannot take its place: "
                               f"{why_not(settings, one)}." for one in witnesses))
    ahead = _ahead(replicas, usable)
    if ahead is not None:
        return Refuse(f"Replica {ahead.id} has more changes than those that can take its place.")
    return FailOver(tuple(sorted(one.id for one in usable)), tuple(sorted(
        one.id for one in replicas if is_made(one.facts) and one not in usable)))


def _ahead(replicas: Sequence[Member], usable: Sequence[Member]) -> Member | None:
    """Return who told to have changes of the source that none has who can take its place.

    Numbers of several histories say nothing: whoever heard the source last has the latest.
    """
    latest = min(usable, key=lambda one: one.last_word)
    most = max(one.progress or 0 for one in usable if one.history == latest.history)
    return next((one for one in replicas if one not in usable and (
        (one.progress or 0) > most if one.history == latest.history
        else one.progress is not None and one.last_word <= latest.last_word)), None)


def why_not(settings: Settings, replica: Member) -> str | None:
    """Return why a replica may not take the source's place, None when it may."""
    why = refuse_statement(replica.facts)
    if why is not None:
        return why
    if not replica.applies:
        return "it does not apply what it received"
    if settings.max_lag is not None and (
            replica.lag is None or replica.lag > settings.max_lag):
        behind = "it is not known how many" if replica.lag is None else f"{replica.lag:g}"
        return (f"it was behind the source by more than {settings.max_lag:g} seconds "
                f"({behind})")
    return None
