"""What a server is told at its first boot."""

from __future__ import annotations

import base64
import configparser
import email

import yaml

from trove_ng.common.secret import Secret
from trove_ng.operations import user_data


def info(name: str = "db") -> str:
    return user_data.guest_info(instance_id="i", name=name, manager="mariadb", tenant_id="t",
                                key=Secret("a$b"))


def test_files_are_for_root_only() -> None:
    text = user_data.build({"/etc/a": "content\n"})
    assert text.startswith("#cloud-config\n")
    entry, = yaml.safe_load(text)["write_files"]
    assert entry["permissions"] == "0600"
    assert base64.b64decode(entry["content"]) == b"content\n"


def test_a_name_cannot_add_options() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(info("x\ninstance_rpc_encr_key = mine"))
    assert parser["DEFAULT"]["guest_name"] == "x instance_rpc_encr_key = mine"
    assert parser["DEFAULT"]["instance_rpc_encr_key"] == "a$$b"


def test_an_operators_template_is_added() -> None:
    text = user_data.build({"/etc/a": "x"}, "#!/bin/sh\necho hello\n")
    parts = [part.get_content_type() for part in email.message_from_string(text).walk()]
    assert parts == ["multipart/mixed", "text/cloud-config", "text/x-shellscript"]
