"""The messages about the machine that an agent runs on."""

from __future__ import annotations

from trove_ng.rpc.messages import Count, Message, StepRequest

#: in the details of heartbeats: the release of the agent that is installed and not kept yet
TRIAL = "release_trial"
#: the same: reason → messages that the agent refused since the heartbeat before
REFUSED = "refused_messages"


class Hardware(Message, frozen=True, kw_only=True):
    """What a server has.

    :param mem_total: bytes of memory
    :param num_cpus: processors; neither counts what the server may not use
    """

    mem_total: Count
    num_cpus: Count


class Diagnostics(Message, frozen=True, kw_only=True):
    """What the agent's process uses.

    :param version: release of the agent
    :param fd_size: file descriptors that it has room for
    :param vm_size: KiB of address space; ``vm_peak``: the most that it had
    :param vm_rss: KiB of memory; ``vm_hwm``: the most that it had
    """

    version: str
    threads: Count
    fd_size: Count
    vm_size: Count
    vm_peak: Count
    vm_rss: Count
    vm_hwm: Count


class AgentRelease(StepRequest, frozen=True, kw_only=True):
    """A release of the agent to fetch.

    :param location: URL of its package, a wheel
    :param sha256: of the package, as hexadecimal digits
    """

    version: str
    location: str
    sha256: str


class AgentVersion(StepRequest, frozen=True, kw_only=True):
    """Keep the release that is on trial."""

    version: str
