"""Commands about the keys of the message bus."""

from __future__ import annotations

import argparse
import functools
import operator
import secrets
from collections.abc import Sequence

from trove_ng.common.crypto import DecryptError, SecretBox
from trove_ng.common.errors import BadRequest
from trove_ng.conf import modules as options
from trove_ng.db.repositories import instance_keys, modules, sealed
from trove_ng.manage.command import Command, Tools
from trove_ng.operations import requests
from trove_ng.rpc.keys import derived

#: keys that are counted together
_BACKUPS = (sealed.BACKUPS, sealed.LOG_ARCHIVES)


def _generate(tools: Tools, _options: argparse.Namespace) -> None:
    tools.say("# one set for all services; the operator's guide tells how to rotate them")
    tools.say("[DEFAULT]")
    for name in ("taskmanager_rpc_encr_key", "inst_rpc_key_encr_key"):
        tools.say(f"{name} = {secrets.token_urlsafe(32)}")


def _reseal(tools: Tools, _options: argparse.Namespace) -> None:
    keys: Sequence[str] = tools.conf.inst_rpc_key_encr_key
    if not keys or not all(keys):
        raise BadRequest("inst_rpc_key_encr_key is not configured.")
    try:
        with tools.db.writer() as session:
            box = SecretBox(keys, instance_keys.PURPOSE)
            guests = sealed.GUESTS.reseal(session, box)
            encrypted = sum(one.reseal(session, box) for one in _BACKUPS)
            running = sealed.OPERATIONS.reseal(session, SecretBox(keys, requests.PURPOSE))
            contents = sealed.MODULES.reseal(session, SecretBox(
                options.secrets(tools.conf), modules.PURPOSE))
    except DecryptError as err:
        raise BadRequest(f"A key cannot be read: {err}; is the old inst_rpc_key_encr_key (or "
                         "module_aes_cbc_key) still configured?") from err
    tools.say(f"{guests} keys of guests, {encrypted} keys of backups and the secrets of "
              f"{running} operations are sealed with the newest inst_rpc_key_encr_key")
    newest = "module_aes_cbc_key" if tools.conf.module_aes_cbc_key else "inst_rpc_key_encr_key"
    tools.say(f"{contents} modules are sealed with the newest {newest}")


def _show(tools: Tools, _options: argparse.Namespace) -> None:
    tools.say("option                    key               sealed with it in the store")
    for name in tools.conf.taskmanager_rpc_encr_key:
        tools.say(f"taskmanager_rpc_encr_key  {derived(name)[0]}  -")
    with tools.db.reader() as session:
        guests = sealed.GUESTS.sealed_with(session)
        encrypted = functools.reduce(
            operator.add, (one.sealed_with(session) for one in _BACKUPS))
        running = sealed.OPERATIONS.sealed_with(session)
        contents = sealed.MODULES.sealed_with(session)
    for secret in tools.conf.inst_rpc_key_encr_key:
        known = (SecretBox([secret], instance_keys.PURPOSE).names[0],
                 SecretBox([secret], requests.PURPOSE).names[0])
        tools.say(f"inst_rpc_key_encr_key     {known[0]}  {guests.pop(known[0], 0)} keys of "
                  f"guests, {encrypted.pop(known[0], 0)} keys of backups, secrets of "
                  f"{running.pop(known[1], 0)} operations, "
                  f"{contents.pop(_for_modules(secret), 0)} modules")
    for secret in tools.conf.module_aes_cbc_key:
        name = _for_modules(secret)
        tools.say(f"module_aes_cbc_key        {name}  {contents.pop(name, 0)} modules")
    lost = guests.total() + encrypted.total() + running.total() + contents.total()
    if lost:
        raise BadRequest(f"{lost} rows are sealed with a key that is not configured.")


def _for_modules(secret: str) -> str:
    return SecretBox([secret], modules.PURPOSE).names[0]


COMMANDS = (
    Command("generate_keys", "print new keys for the configuration", _generate),
    Command("instance_keys_reseal",
            "seal the keys and secrets in the store with the newest configured key", _reseal),
    Command("keys_show", "name the configured keys, and what is sealed with each", _show),
)
