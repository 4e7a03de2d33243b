"""Files from user data."""

from __future__ import annotations

import base64
import gzip
import os
import pwd
from pathlib import Path

import pytest

from trove_ng.standalone.runtime import cloudinit
from trove_ng.standalone.runtime.cloudinit import File, UserDataError

ME = pwd.getpwuid(os.getuid()).pw_name


def only_file(entry: str) -> File:
    files, _ = cloudinit.parse(f"#cloud-config\nwrite_files:\n- {entry}\n".encode())
    assert len(files) == 1
    return files[0]


@pytest.mark.parametrize(("encoding", "content"), [
    ("b64", base64.b64encode(b"secret\n")),
    ("base64", base64.b64encode(b"secret\n")),
    ("gz+b64", base64.b64encode(gzip.compress(b"secret\n", mtime=0))),
    ("gzip+base64", base64.b64encode(gzip.compress(b"secret\n", mtime=0))),
])
def test_encoded_content_is_decoded(encoding: str, content: bytes) -> None:
    file = only_file(f"{{path: /a, encoding: {encoding}, content: {content.decode()}}}")
    assert file.content == b"secret\n"


def test_gzip_as_a_binary_value_is_decoded() -> None:
    packed = base64.b64encode(gzip.compress(b"x")).decode()
    assert only_file(f"{{path: /a, encoding: gz, content: !!binary {packed}}}").content == b"x"


def test_defaults_are_those_of_cloud_init() -> None:
    assert only_file("{path: /a, content: x}") == File("/a", b"x", "root:root", 0o644, False)


def test_permissions_are_octal_text() -> None:
    assert only_file("{path: /a, permissions: '0600'}").mode == 0o600


def test_a_zipped_document_is_unpacked() -> None:
    files, _ = cloudinit.parse(gzip.compress(b"#cloud-config\nwrite_files: [{path: /a}]\n"))
    assert [file.path for file in files] == ["/a"]


def test_unsupported_keys_are_named() -> None:
    assert cloudinit.parse(b"#cloud-config\nruncmd: [x]\nbootcmd: [y]\n") == (
        [], ["bootcmd", "runcmd"])


def test_user_data_of_another_kind_is_left_alone() -> None:
    assert cloudinit.parse(b"#!/bin/sh\nexit 1\n") == ([], [])


@pytest.mark.parametrize("wrong", [
    b"#cloud-config\nwrite_files: [{path: relative}]\n",
    b"#cloud-config\nwrite_files: [{path: /a, encoding: rot13, content: x}]\n",
    b"#cloud-config\nwrite_files: [{path: /a, encoding: b64, content: '!'}]\n",
    b"#cloud-config\nwrite_files: [{path: /a, encoding: gz+b64, content: eHg=}]\n",
    b"#cloud-config\nwrite_files: [{path: /a, permissions: rw}]\n",
    b"#cloud-config\n- a list\n",
    b"#cloud-config\na: [\n",
    b"\x1f\x8bno gzip",
])
def test_wrong_user_data_is_refused(wrong: bytes) -> None:
    with pytest.raises(UserDataError):
        cloudinit.parse(wrong)


def test_a_file_is_written_with_its_mode(tmp_path: Path) -> None:
    cloudinit.write(File("/etc/deep/conf", b"one\n", ME, 0o640, False), tmp_path)
    written = tmp_path / "etc/deep/conf"
    assert written.read_bytes() == b"one\n"
    assert written.stat().st_mode & 0o7777 == 0o640


def test_append_adds_to_what_is_there(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        cloudinit.write(File("/conf", text, ME, 0o600, True), tmp_path)
    assert (tmp_path / "conf").read_bytes() == b"one\ntwo\n"


def test_without_append_the_content_is_replaced(tmp_path: Path) -> None:
    for text in (b"first\n", b"2\n"):
        cloudinit.write(File("/conf", text, ME, 0o600, False), tmp_path)
    assert (tmp_path / "conf").read_bytes() == b"2\n"


def test_an_unknown_owner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserDataError, match="nobody-of-this-name"):
        cloudinit.write(File("/conf", b"", "nobody-of-this-name", 0o600, False), tmp_path)
