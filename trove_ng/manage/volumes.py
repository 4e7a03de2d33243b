"""Commands about volume configurations."""

from __future__ import annotations

import argparse

from trove_ng.common.errors import NotFound
from trove_ng.db.models import VolumeConfig
from trove_ng.db.repositories import volumes as stored
from trove_ng.domain import volumes
from trove_ng.manage.command import Command, Tools, arg, at_least


def _add(tools: Tools, options: argparse.Namespace) -> None:
    volumes.check_line(options.kind, options.provider, options.provider_type,
                       options.device_type)
    now = tools.clock.now()
    with tools.db.writer() as session:
        stored.put(session, VolumeConfig(
            name=options.config, volume_kind=options.kind, size=options.size,
            provider=options.provider, provider_type=options.provider_type or None,
            device_type=options.device_type, required=options.required == "true",
            created=now, updated=now))
    tools.say(f"{options.config} has a volume {options.kind}")


def _delete(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.writer() as session:
        if not stored.remove(session, options.config, options.kind):
            raise NotFound.of("Volume", f"{options.kind} of {options.config}")
    tools.say(f"{options.config} has no volume {options.kind} any more")


def _list(tools: Tools, options: argparse.Namespace) -> None:
    with tools.db.reader() as session:
        for one in stored.lines(session, options.config):
            size = "no size" if one.size is None else f"{one.size} GB"
            tools.say(f"{one.volume_kind}: {size}, {one.provider} "
                      f"{one.provider_type or 'default type'}, {one.device_type}"
                      f"{', required' if one.required else ''}")


_CONFIG = arg("config", help="name of the volume configuration")
_KIND = arg("kind", help="kind of volume, for example data")

COMMANDS = (
    Command("volume-config-add", "add a volume to a volume configuration, or replace it", _add, (
        _CONFIG, _KIND, arg("provider", choices=volumes.PROVIDERS),
        arg("provider_type",
            help="volume type, empty: the default one; of external, server:/directory"),
        arg("device_type", choices=[*sorted(volumes.DEVICE_TYPES), volumes.ROOT, volumes.SHARED]),
        arg("required", type=str.lower, choices=["true", "false"],
            help="whether instances must have it"),
        arg("--size", type=at_least(1), metavar="GB",
            help="size where the request does not say"))),
    Command("volume-config-delete", "remove a volume from a volume configuration", _delete,
            (_CONFIG, _KIND)),
    Command("volume-config-list", "show the volumes of a volume configuration", _list,
            (_CONFIG,)),
)
