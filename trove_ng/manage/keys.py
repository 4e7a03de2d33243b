"""Commands about the keys of the message bus."""

from __future__ import annotations

import argparse
import secrets

from trove_ng.common.crypto import DecryptError, SecretBox
from trove_ng.common.errors import BadRequest
from trove_ng.db.repositories import instance_keys
from trove_ng.manage.command import Command, Tools


def _generate(tools: Tools, _options: argparse.Namespace) -> None:
    tools.say("# one set for all services; put new keys before old ones to rotate")
    tools.say("[DEFAULT]")
    for name in ("taskmanager_rpc_encr_key", "inst_rpc_key_encr_key"):
        tools.say(f"{name} = {secrets.token_urlsafe(32)}")


def _reseal(tools: Tools, _options: argparse.Namespace) -> None:
    if not tools.conf.inst_rpc_key_encr_key:
        raise BadRequest("inst_rpc_key_encr_key is not configured.")
    box = SecretBox(tools.conf.inst_rpc_key_encr_key, instance_keys.PURPOSE)
    try:
        with tools.db.writer() as session:
            count = instance_keys.reseal(session, box)
    except DecryptError as err:
        raise BadRequest(f"A key cannot be read: {err}; is the old inst_rpc_key_encr_key still "
                         "configured?") from err
    tools.say(f"{count} keys are sealed with the newest inst_rpc_key_encr_key")


COMMANDS = (
    Command("generate_keys", "print new keys for the configuration", _generate),
    Command("instance_keys_reseal", "seal the guests' keys with the newest configured key",
            _reseal),
)
