"""What servers of the MySQL family read in option files that an agent writes."""

from __future__ import annotations

import itertools
import pathlib
import subprocess

from trove_ng.guestagent.os.codecs import IniCodec

_WRITTEN = ("SET @a='C:\\temp'", "it's", "'all'", '"all"', "'a' or 'b'", '"a" or "b"', "\\",
            "\\\\", '"', "'", " blank ", "a # b", "#", "'#", '"#"', "a;b", "[mysqld]",
            "!include x", "", "a=b", "\\s\\n\\t", "grün", "x\\", "\\'", '\\"')


def _read(path: pathlib.Path) -> dict[str, str]:
    done = subprocess.run(["my_print_defaults", f"--defaults-file={path}", "mysqld"], check=True,
                          capture_output=True, text=True)
    found = (line.removeprefix("--").partition("=") for line in done.stdout.split("\n") if line)
    return {name: value for name, _, value in found}


def test_a_server_reads_what_is_meant(tmp_path: pathlib.Path) -> None:
    signs = ("'", '"', "\\", "#", " ", "n")
    texts = [*_WRITTEN, *map("".join, itertools.product(signs, repeat=4))]
    meant = {f"o{number}": text for number, text in enumerate(texts)}
    codec, path = IniCodec(), tmp_path / "my.cnf"
    path.write_text(codec.serialize({"mysqld": meant}))
    found = _read(path)
    assert {name: (text, found.get(name)) for name, text in meant.items()
            if found.get(name) != text} == {}
    # and so does the agent
    assert codec.deserialize(path.read_text())["mysqld"] == meant


def test_the_agent_reads_what_a_server_does(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text("[mysqld]\n" + "".join(f"o{number}={text}\n" for number, text in enumerate((
        r"a\sb", r"'a\sb'", r"a\qb", "a#b", "a # b", "'a # b' # c", '"a"b"', "'a\"", "it's # a"))))
    assert IniCodec().deserialize(path.read_text())["mysqld"] == _read(path)
