"""When the source of a set of replicas is given up, and which replicas may take its place.

The control plane alone cannot tell a source that is gone from one that it does not hear: the
replicas are asked, which speak with the source all the time on another way.  A word counts while
it is younger than the silence of the source that is to be judged.

The invariants, whatever is told:

- a source that was heard of within its time, or that one replica hears, stays;
- at least half of the replicas say that they do not hear it: those that are silent, or do not
  tell, say nothing;
- nothing begins while anything is done with a member, or too soon after the last time;
- only a replica that works, and applies what it received, may take the place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from trove_ng.domain.instance_status import Facts, Task, refuse_statement
from trove_ng.rpc.replication_messages import APPLIES, CONNECTED, LAST_LAG, REPLICATION

AUTOMATIC, MANUAL = "automatic", "manual"
MODES = (AUTOMATIC, MANUAL)


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
    """

    id: str
    facts: Facts
    connected: bool | None = None
    applies: bool | None = None
    lag: float | None = None

    def is_heard(self, seconds: float) -> bool:
        """Return whether its agent was heard of in so many seconds."""
        age = self.facts.heartbeat_age
        return age is not None and age <= seconds


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
    """One of some replicas takes the source's place: that which has most, which they tell."""

    replica_ids: tuple[str, ...]


Decision = Wait | Refuse | FailOver


def member(ident: str, facts: Facts, details: Any) -> Member:
    """Return what is known of a member.

    :param details: those of its heartbeat, which is not trusted
    """
    told = details.get(REPLICATION) if isinstance(details, dict) else None
    told = told if isinstance(told, dict) else {}

    def word(key: str) -> bool | None:
        return found if isinstance(found := told.get(key), bool) else None

    lag = told.get(LAST_LAG)
    known = isinstance(lag, int | float) and not isinstance(lag, bool) and lag >= 0
    return Member(ident, facts, word(CONNECTED), word(APPLIES), lag if known else None)


def decide(settings: Settings, source: Member, replicas: Sequence[Member],
           since_last: float | None) -> Decision:
    """Return what to do with a set.

    :param since_last: seconds since a failover of the set last began; None: never
    """
    silence = source.facts.heartbeat_age
    if silence is None or silence <= settings.timeout:
        return Wait("The source is heard of.")
    if not replicas:
        return Wait("The source has no replicas.")
    words = [one for one in replicas if one.is_heard(settings.timeout)]
    hearing = next((one for one in words if one.connected), None)
    if hearing is not None:
        return Wait(f"Replica {hearing.id} hears the source.")
    witnesses = [one for one in words if one.connected is False]
    if 2 * len(witnesses) < len(replicas):
        return Refuse(f"Only {len(witnesses)} of {len(replicas)} replicas say that they do not "
                      "hear the source.")
    busy = next((one for one in (source, *replicas) if one.facts.task != Task.NONE), None)
    if busy is not None:
        return Refuse(f"Something is done with instance {busy.id}.")
    if since_last is not None and since_last < settings.min_interval:
        return Refuse(f"The last failover was less than {settings.min_interval:g} seconds ago.")
    usable = [one.id for one in witnesses if why_not(settings, one) is None]
    if not usable:
        return Refuse(" ".join(f"Replica {one.id} cannot take its place: "
                               f"{why_not(settings, one)}." for one in witnesses))
    return FailOver(tuple(sorted(usable)))


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
