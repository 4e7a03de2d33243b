"""Root of data that came from elsewhere: the agent tells whether it can log in."""

from __future__ import annotations

import logging

from trove_ng.common.errors import TroveError
from trove_ng.db.repositories import instances
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import servers
from trove_ng.operations.work import Cancelled, StepFailed, Work
from trove_ng.rpc.lines import BusAway

LOG = logging.getLogger(__name__)

#: seconds that an agent which does not tell is asked for
_PATIENCE = 60.0


def look(work: Work) -> None:
    """Write down that root can log in to the instance, if it can.

    :raises TroveError: its agent does not tell
    """
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    if not work.tools.datastores[version.manager].capabilities.root:
        return
    with work.reader() as session:
        if instances.root_was_enabled(session, instance.id) is not None:
            return
    if work.tools.guests(instance.id, work.context).is_root_enabled():
        with work.writer() as session:
            instances.note_root_enabled(
                session, instance.id, work.context.user_id, work.tools.clock.now())


def look_for_a_while(work: Work) -> None:
    """Do so where an agent may have to be asked again, and no more depends on it than that.

    :raises Cancelled: the operation is cancelled meanwhile
    """
    def looked() -> bool | None:
        return _tells(work) or None

    try:
        work.wait("the agent to tell of root", looked, _PATIENCE)
    except Cancelled:
        raise
    except StepFailed:
        # who deletes root later has the agent asked, too
        LOG.warning("operation %s: whether root of instance %s is enabled is not known", work.id,
                    work.resource_id)


def try_to_look(work: Work) -> None:
    """Do so where nothing depends on it: an agent that does not tell is passed over."""
    _tells(work)


def _tells(work: Work) -> bool:
    """Look; return whether the agent told."""
    try:
        look(work)
    except (StoreAway, BusAway):
        raise
    except TroveError as err:
        LOG.warning("operation %s: the agent of instance %s does not tell of root: %s", work.id,
                    work.resource_id, err.message)
        return False
    return True
