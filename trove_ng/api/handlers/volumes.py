"""Volume configurations, and the volumes of an instance."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.common.errors import NotFound
from trove_ng.db.models import VolumeConfig
from trove_ng.db.repositories import volumes as stored
from trove_ng.domain.volumes import CINDER


def configs(call: Call) -> dict[str, Any]:
    """List the names of the volume configurations."""
    with call.services.db.connection() as reader:
        return {"volume_configs": stored.names(reader)}


def config(call: Call) -> dict[str, Any]:
    """Show the lines of a volume configuration."""
    name = call.params["config"]
    with call.services.db.reader() as session:
        found = [_line(one) for one in stored.lines(session, name)]
    if not found:
        raise NotFound.of("Volume configuration", name)
    return {"volume_config": {"name": name, "volumes": found}}


def _line(one: VolumeConfig) -> dict[str, Any]:
    return {"volume_kind": one.volume_kind, "size": one.size, "provider": one.provider,
            "provider_type": one.provider_type, "device_type": one.device_type,
            "required": one.required}


def of_instance(call: Call) -> dict[str, Any]:
    """List the volumes of an instance."""
    with call.services.db.reader() as session:
        instance = accept.find(session, call)
        # what is not made yet, or is gone, is not shown; other providers tell no id
        return {"volumes": [{
            "volume_id": one.volume_id, "size": one.size, "volume_kind": one.volume_kind,
            "provider": one.provider, "device_type": one.device_type}
            for one in stored.of(session, instance)
            if one.volume_id is not None or one.provider != CINDER]}
