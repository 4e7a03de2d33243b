"""On which host a server goes. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")


class NoValidHost(Exception):
    """No host satisfies the request."""


def choose(
    load: Mapping[str, int],
    policy: str | None = None,
    member_hosts: Sequence[str] = (),
    max_per_host: int = 1,
    excluded: Sequence[str] = (),
    forced: str | None = None,
) -> str:
    """Return the host for a server.

    ``load`` maps every enabled host to how many servers it has; the least loaded
    one that the server group's ``policy`` allows is taken. ``member_hosts`` has
    the host of every other member of the group (one entry a member). ``excluded``
    hosts are not taken. Raises NoValidHost.
    """
    hosts = [name for name in load if name not in excluded]
    if forced is not None:
        hosts = [name for name in hosts if name == forced]
    counts = {name: list(member_hosts).count(name) for name in hosts}
    if policy == "affinity" and member_hosts:
        hosts = [name for name in hosts if counts[name]]
    elif policy == "anti-affinity":
        hosts = [name for name in hosts if counts[name] < max_per_host]
    if not hosts:
        raise NoValidHost
    preference = {"soft-affinity": -1, "soft-anti-affinity": 1}.get(policy or "", 0)
    return min(hosts, key=lambda name: (preference * counts[name], load[name], name))
