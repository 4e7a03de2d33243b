"""Files: written whole or not at all, with the right owner and mode."""

from __future__ import annotations

import contextlib
import grp
import os
import pathlib
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, Any, Protocol

#: a file path, as text or as a path object
PathLike = str | pathlib.Path


class Codec(Protocol):
    """Turns text into data and back; see :mod:`~trove_ng.guestagent.os.codecs`."""

    def serialize(self, data: Any) -> str | bytes:
        """Return the text of the data."""

    def deserialize(self, text: Any) -> Any:
        """Return the data of the text."""

    @property
    def binary(self) -> bool:
        """True if the serialized form is bytes."""


def read_text(path: PathLike) -> str:
    """Return a text file's content; undecodable bytes survive a write back."""
    return pathlib.Path(path).read_text("utf-8", errors="surrogateescape")


def read(path: PathLike, codec: Codec, default: Any = ...) -> Any:
    """Return a file's content as the codec reads it.

    :param default: returned when the file does not exist; without one, that raises
    :raises FileNotFoundError: no such file and no default
    :raises ValueError: the content does not fit the codec
    """
    try:
        raw = pathlib.Path(path).read_bytes() if codec.binary else read_text(path)
    except FileNotFoundError:
        if default is ...:
            raise
        return default
    return codec.deserialize(raw)


def write(path: PathLike, data: Any, codec: Codec, **how: Any) -> None:
    """Write what the codec makes of the data; options as of :func:`write_bytes`."""
    content = codec.serialize(data)
    if isinstance(content, str):
        content = content.encode("utf-8", errors="surrogateescape")
    write_bytes(path, content, **how)


def write_text(path: PathLike, text: str, **how: Any) -> None:
    """Write a text; options as of :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"), **how)


def write_bytes(path: PathLike, content: bytes, *, mode: int | None = None,
                owner: str | None = None, group: str | None = None,
                durable: bool = True) -> None:
    """Replace a file in one step, so that a reader or a crash sees old or new.

    :param mode: permission bits; None keeps those of the old file, or 0o644
    :param owner: user name; None keeps the old file's owner, or the agent's
    :param group: group name; None with an owner means the owner's own group
    :param durable: False leaves writing to the disk to the kernel
    """
    with replacing(path, mode=mode, owner=owner, group=group, durable=durable) as out:
        out.write(content)


@contextlib.contextmanager
def replacing(path: PathLike, *, mode: int | None = None, owner: str | None = None,
              group: str | None = None, durable: bool = True) -> Iterator[IO[bytes]]:
    """Give a file to write that takes the place of ``path`` when the block ends well."""
    target = pathlib.Path(path)
    old = _stat(target)
    bits = mode if mode is not None else (old.st_mode & 0o7777 if old else 0o644)
    uid, gid = _ids(owner, group, old)
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as out:
            # The owner first: chown clears the set-id bits.
            if (uid, gid) != (-1, -1):
                os.fchown(out.fileno(), uid, gid)
            os.fchmod(out.fileno(), bits)
            yield out
            out.flush()
            if durable:
                os.fsync(out.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    if durable:
        sync_directory(target.parent)


def sync_directory(path: PathLike) -> None:
    """Make the names in a directory outlast a power cut."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_directory(path: PathLike, *, mode: int = 0o755, owner: str | None = None,
                   group: str | None = None) -> None:
    """Make a directory and its parents; sets mode and owner also of an existing one."""
    pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    if owner is not None or group is not None:
        change_owner(path, owner, group)
    os.chmod(path, mode)


def remove(path: PathLike, *, recursive: bool = False) -> bool:
    """Remove a file, a link or, when recursive, a directory.

    :return: False if there was nothing
    """
    target = pathlib.Path(path)
    try:
        if recursive and target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
    except FileNotFoundError:
        return False
    return True


def clear_directory(path: PathLike, *, keep: tuple[str, ...] = ()) -> None:
    """Remove what is in a directory, except the names to keep; not the directory."""
    for entry in pathlib.Path(path).iterdir():
        if entry.name not in keep:
            remove(entry, recursive=True)


def change_owner(path: PathLike, owner: str | None, group: str | None = None, *,
                 recursive: bool = False) -> None:
    """Give a file to a user; links are changed themselves, never followed.

    :param group: None with an owner means the owner's own group
    :raises KeyError: no such user or group
    """
    uid, gid = _ids(owner, group, None)
    os.chown(path, uid, gid, follow_symlinks=False)
    if not recursive:
        return
    for folder, folders, names in os.walk(path):
        for name in folders + names:
            os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)


def change_mode(path: PathLike, mode: int, *, recursive: bool = False) -> None:
    """Set permission bits; below a directory only on regular files when recursive."""
    os.chmod(path, mode)
    if recursive:
        for folder, _folders, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                if not os.path.islink(full):
                    os.chmod(full, mode)


def copy_tree(source: PathLike, target: PathLike) -> None:
    """Copy what is in a directory into another one with owners, modes and links."""
    source, target = pathlib.Path(source), pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        copied = target / entry.name
        if entry.is_symlink():
            remove(copied, recursive=True)
            os.symlink(os.readlink(entry), copied)
            shutil.copystat(entry, copied, follow_symlinks=False)
        elif entry.is_dir():
            copy_tree(entry, copied)
        elif entry.is_file():
            shutil.copy2(entry, copied)
        else:
            continue  # sockets and pipes belong to a process, not to the data
        _copy_owner(entry, copied)
    shutil.copystat(source, target)
    _copy_owner(source, target)


def _copy_owner(source: pathlib.Path, target: pathlib.Path) -> None:
    info = source.lstat()
    os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)


def _stat(path: pathlib.Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _ids(owner: str | None, group: str | None,
         old: os.stat_result | None) -> tuple[int, int]:
    uid = old.st_uid if old else -1
    gid = old.st_gid if old else -1
    if owner is not None:
        user = pwd.getpwnam(owner)
        uid, gid = user.pw_uid, user.pw_gid
    if group is not None:
        gid = grp.getgrnam(group).gr_gid
    return uid, gid
