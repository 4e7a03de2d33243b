"""Looking through the settings of an owner's configuration group before a server has them."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.causes import refusal
from trove_ng.guestagent.datastores.mysql_family.config import as_options
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.os.codecs import IniCodec

_SECONDS = 60
_ERROR = re.compile(r"\[ERROR\] (.*)")
_WORD = re.compile(r"[a-z][a-z0-9_-]+")
#: what is an error of an engine of its own does not end the program that is asked for help
_ENGINE = "Parsing options for plugin"


def check(values: Mapping[str, Any], dialect: Dialect, draft: pathlib.Path, user: str) -> None:
    """Have the server's program look through what would be its options.

    :param values: variable → value
    :param draft: file that it reads them from; it is removed again
    :param user: whom the program runs as
    :raises GuestError: it refuses them
    """
    if not values:
        return
    options = as_options(values, dialect)
    files.make_directory(draft.parent)
    files.write(draft, {"mysqld": options}, IniCodec(), durable=False, mode=0o644)
    try:
        said = commands.run(["mariadbd", f"--defaults-file={draft}", "--help", "--verbose"],
                            user=user, cwd="/", timeout=_SECONDS, disposable=True).stderr
        refused = _ENGINE in said
    except commands.CommandTimeout:
        raise
    except commands.CommandError as err:
        said, refused = err.stderr, True
    finally:
        files.remove(draft)
    if refused:
        # only names are told: the text may hold anything
        words = {one.replace("-", "_") for line in _ERROR.findall(said)
                 for one in _WORD.findall(line)}
        named = sorted(dialect.variable_of(one) for one in words & {*options})
        raise GuestError(refusal(named))
