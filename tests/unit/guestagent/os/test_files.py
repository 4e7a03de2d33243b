from __future__ import annotations

import os
import pathlib

import pytest

from trove_ng.guestagent.os import codecs, files


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.cnf"
    files.write_text(path, "old", mode=0o600)
    before = path.stat().st_ino
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_ino != before


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.cnf"
    files.write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        with files.replacing(path) as out:
            out.write(b"half")
            raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.cnf"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_gets_the_owner_and_his_group(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.cnf"
    files.write_text(path, "x", owner="nobody", mode=0o640)
    info = path.stat()
    assert (info.st_uid, info.st_gid) == (65534, 65534)
    files.write_text(path, "y")
    assert path.stat().st_uid == 65534


def test_an_unknown_owner_is_an_error_and_nothing_is_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyError):
        files.write_text(tmp_path / "a", "x", owner="no-such-user")
    assert os.listdir(tmp_path) == []


def test_reading_with_a_codec_gives_what_was_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    files.write(path, {"a": 1}, codecs.JsonCodec())
    assert files.read(path, codecs.JsonCodec()) == {"a": 1}
    assert files.read(tmp_path / "none", codecs.JsonCodec(), default={}) == {}
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "none", codecs.JsonCodec())


def test_bytes_that_are_no_text_survive_reading_and_writing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"caf\xe9\n")
    files.write(path, files.read(path, codecs.IdentityCodec()), codecs.IdentityCodec())
    assert path.read_bytes() == b"caf\xe9\n"


def test_removing_tells_whether_there_was_something(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    assert files.remove(tmp_path / "d", recursive=True)
    assert not files.remove(tmp_path / "d", recursive=True)


def test_clearing_keeps_the_directory_and_the_names_asked_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("b")
    (tmp_path / "keep").write_text("k")
    files.clear_directory(tmp_path, keep=("keep",))
    assert os.listdir(tmp_path) == ["keep"]


def test_a_tree_is_copied_with_links_and_modes(tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "f").write_text("x")
    (source / "deep" / "f").chmod(0o640)
    (source / "link").symlink_to("deep/f")
    os.mkfifo(source / "pipe")
    files.copy_tree(source, target)
    files.copy_tree(source, target)
    assert (target / "deep" / "f").stat().st_mode & 0o777 == 0o640
    assert os.readlink(target / "link") == "deep/f"
    assert not (target / "pipe").exists()


def test_owners_below_a_directory_change_but_not_where_links_lead(
        tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    inside = tmp_path / "d"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    files.change_owner(inside, "nobody", recursive=True)
    assert (inside / "link").lstat().st_uid == 65534
    assert outside.stat().st_uid == 0
