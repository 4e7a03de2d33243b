"""Commands about the certificates of database servers."""

from __future__ import annotations

import argparse
import os
import pathlib

from trove_ng.common.errors import BadRequest
from trove_ng.domain.certificates import create_authority
from trove_ng.manage.command import Command, Tools, arg, at_least


def _create(tools: Tools, options: argparse.Namespace) -> None:
    certificate, key = create_authority(options.name, options.days, tools.clock.now())
    paths = [pathlib.Path(options.certificate), pathlib.Path(options.private_key)]
    for path in paths:
        if path.exists():
            raise BadRequest(f"{path} exists already.")
    for path, text, mode in zip(paths, (certificate, key.reveal()), (0o644, 0o600), strict=True):
        # at no moment others can read the key
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as err:
            raise BadRequest(f"{path} cannot be written: {err.strerror}.") from err
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
    tools.say("[tls]")
    tools.say(f"ca_certificate = {paths[0].absolute()}")
    tools.say(f"ca_private_key = {paths[1].absolute()}")


COMMANDS = (
    Command("tls_authority_create",
            "make an authority that issues certificates to database servers, and print its "
            "configuration", _create, (
                arg("certificate", metavar="CERTIFICATE_FILE"),
                arg("private_key", metavar="PRIVATE_KEY_FILE"),
                arg("--name", default="Database service"),
                arg("--days", type=at_least(1), default=3650))),
)
