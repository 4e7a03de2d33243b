"""Actions on an instance; the body's one key names the action."""

from __future__ import annotations

import dataclasses

from trove_ng.api import accept, accept_roles
from trove_ng.api.call import Call
from trove_ng.domain.volumes import DATA


def act(call: Call) -> None:
    """Run the action that the body names."""
    (name, arguments), = call.body.items()
    if name == "restart":
        accept.restart_instance(asking(call, "instance:restart"))
    elif name == "resize" and "volume" in arguments:
        accept.resize_volume(asking(call, "instance:resize_volume"),
                             arguments["volume"].get("volume_kind", DATA),
                             int(arguments["volume"]["size"]))
    elif name == "resize":
        accept.resize_flavor(asking(call, "instance:resize_flavor"),
                             str(arguments["flavorRef"]))
    elif name == "promote_to_replica_source":
        accept_roles.promote(asking(call, f"instance:{name}"))
    elif name == "eject_replica_source":
        accept_roles.eject(asking(call, f"instance:{name}"))
    elif name == "detach_replica":
        accept_roles.detach(asking(call, "instance:update"), lambda _: None, named=True)
    elif (arguments or {}).get("force_delete"):
        accept.force_delete_instance(asking(call, "instance:force_delete"))
    else:
        accept.reset_status(asking(call, "instance:reset_status"))


def asking(call: Call, rule: str) -> Call:
    """Ask an action's own rule, now and again for the owner of the instance.

    :raises Forbidden: the rule says no
    """
    call.authorize(rule)
    # the call itself: it is told which operation begins
    call.route = dataclasses.replace(call.route, rule=rule)
    return call
