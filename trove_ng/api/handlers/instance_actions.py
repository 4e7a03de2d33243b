"""Actions on an instance; the body's one key names the action."""

from __future__ import annotations

from trove_ng.api import accept
from trove_ng.api.call import Call


def act(call: Call) -> None:
    """Run the action that the body names."""
    (name, arguments), = call.body.items()
    if name == "restart":
        call.authorize("instance:restart")
        accept.restart_instance(call)
    elif name == "resize" and "volume" in arguments:
        call.authorize("instance:resize_volume")
        accept.resize_volume(call, int(arguments["volume"]["size"]))
    elif name == "resize":
        call.authorize("instance:resize_flavor")
        accept.resize_flavor(call, str(arguments["flavorRef"]))
    elif "force_delete" in (arguments or {}):
        call.authorize("instance:force_delete")
        accept.force_delete_instance(call)
    else:
        call.authorize("instance:reset_status")
        accept.reset_status(call)
