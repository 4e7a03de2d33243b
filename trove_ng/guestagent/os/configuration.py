"""Configuration files of a datastore, and what is laid over them.

The file that prepare wrote is the base.  Over it lie named changes in three groups, in
this order of precedence, the last one wins:

1. the base file
2. ``SYSTEM``: settings of the agent that the user's may replace
3. ``USER``: the settings of the instance's configuration group; at most one change
4. ``SYSTEM_FINAL``: settings of the agent that nothing replaces (replication, root)

How a change gets into force is an :class:`OverrideStrategy`.
"""

from __future__ import annotations

import enum
import logging
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from trove_ng.common.errors import BadRequest, Conflict
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.codecs import JsonCodec
from trove_ng.guestagent.os.files import Codec

LOG = logging.getLogger(__name__)

#: change id when the caller names none
DEFAULT_CHANGE = "common"
_CHANGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,99}")
_MISSING = object()


class Group(enum.StrEnum):
    """Whose change it is; the value begins the change's file name and sorts."""

    SYSTEM = "20-system"
    USER = "50-user"
    SYSTEM_FINAL = "80-system"


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``change`` laid over it; mappings merge, all else replaces."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[key] = merge(old, value)
        elif isinstance(value, Mapping):
            merged[key] = merge({}, value)
        else:
            merged[key] = value
    return merged


class OverrideStrategy(Protocol):
    """How changes are laid over a configuration file."""

    def bind(self, path: pathlib.Path, codec: Codec, how: Mapping[str, Any]) -> None:
        """Learn of the base file, its codec and the options of writing it."""

    def apply(self, group: Group, change_id: str, options: Mapping[str, Any]) -> None:
        """Lay a change over the file; one of the same id is replaced in its place."""

    def remove(self, group: Group, change_id: str) -> bool:
        """Take a change away; False if there is none of that id."""

    def get(self, group: Group, change_id: str) -> dict[str, Any] | None:
        """Return a change, None if there is none of that id."""

    def list(self, group: Group) -> list[str]:
        """Return the ids of a group's changes, in the order of precedence."""

    def effective(self, *, without: Group | None = None) -> dict[str, Any]:
        """Return the settings in force: the base and all changes over it.

        :param without: leave the changes of a group out
        """

    def write_base(self, content: bytes) -> None:
        """Replace the base and keep the changes over it."""


class _ChangeFiles:
    """Changes as files ``<group>-<number>-<id><suffix>`` in one directory.

    The number is the order within the group.
    """

    def __init__(self, directory: pathlib.Path, codec: Codec, suffix: str,
                 how: Mapping[str, Any]) -> None:
        self._directory = directory
        self._codec = codec
        self._suffix = suffix
        self._how = dict(how)

    def write(self, group: Group, change_id: str, options: Mapping[str, Any]) -> None:
        path = self._path(group, change_id)
        if path is None:
            numbers = [number for number, _id, _path in self._of(group)]
            number = max(numbers, default=0) + 1
            path = self._directory / f"{group.value}-{number:03d}-{change_id}{self._suffix}"
        if not self._directory.is_dir():
            files.make_directory(self._directory, owner=self._how.get("owner"),
                                 group=self._how.get("group"))
        files.write(path, options, self._codec, **self._how)

    def remove(self, group: Group, change_id: str) -> bool:
        path = self._path(group, change_id)
        if path is None:
            return False
        files.remove(path)
        files.sync_directory(self._directory)
        return True

    def get(self, group: Group, change_id: str) -> dict[str, Any] | None:
        path = self._path(group, change_id)
        return None if path is None else dict(files.read(path, self._codec))

    def ids(self, group: Group) -> list[str]:
        return [change_id for _number, change_id, _path in self._of(group)]

    def all(self, without: Group | None) -> Iterable[dict[str, Any]]:
        for group in Group:
            if group is without:
                continue
            for _number, _id, path in self._of(group):
                yield dict(files.read(path, self._codec))

    def _path(self, group: Group, change_id: str) -> pathlib.Path | None:
        check_change_id(change_id)
        return next((path for _number, known, path in self._of(group)
                     if known == change_id), None)

    def _of(self, group: Group) -> list[tuple[int, str, pathlib.Path]]:
        if not self._directory.is_dir():
            return []
        form = re.compile(re.escape(group.value) + r"-(\d{3,})-(.+)" + re.escape(self._suffix))
        found = []
        for path in self._directory.iterdir():
            match = form.fullmatch(path.name)
            if match is not None:
                found.append((int(match[1]), match[2], path))
        return sorted(found)


class ImportOverrideStrategy:
    """Changes are files in a directory that the base file includes.

    The base file stays as it is; the including program reads the directory in the
    order of file names.

    :param directory: the included directory
    :param suffix: end of the names that the program includes, for example ``.cnf``
    """

    def __init__(self, directory: str | pathlib.Path, suffix: str = ".cnf") -> None:
        self._directory = pathlib.Path(directory)
        self._suffix = suffix
        self._base: pathlib.Path | None = None

    def bind(self, path: pathlib.Path, codec: Codec, how: Mapping[str, Any]) -> None:
        self._base, self._codec, self._how = path, codec, dict(how)
        self._changes = _ChangeFiles(self._directory, codec, self._suffix, how)

    def apply(self, group: Group, change_id: str, options: Mapping[str, Any]) -> None:
        self._changes.write(group, change_id, options)

    def remove(self, group: Group, change_id: str) -> bool:
        return self._changes.remove(group, change_id)

    def get(self, group: Group, change_id: str) -> dict[str, Any] | None:
        return self._changes.get(group, change_id)

    def list(self, group: Group) -> list[str]:
        return self._changes.ids(group)

    def effective(self, *, without: Group | None = None) -> dict[str, Any]:
        assert self._base is not None
        settings = dict(files.read(self._base, self._codec, default={}))
        for change in self._changes.all(without):
            settings = merge(settings, change)
        return settings

    def write_base(self, content: bytes) -> None:
        assert self._base is not None
        files.write_bytes(self._base, content, **self._how)


class RollingOverrideStrategy:
    """Changes are written into the one file, whose base revision is kept aside.

    For programs that know no include.  The revisions directory holds the base and
    each change; the file is made from them anew, so that changes may be taken away
    in any order.  With the last change the base is put back byte for byte.  A crash
    in between is mended by the next change, or by :meth:`mend`.

    :param revisions: directory of the base revision and the changes
    """

    BASE = "base.revision"

    def __init__(self, revisions: str | pathlib.Path) -> None:
        self._revisions = pathlib.Path(revisions)
        self._path: pathlib.Path | None = None

    def bind(self, path: pathlib.Path, codec: Codec, how: Mapping[str, Any]) -> None:
        self._path, self._codec, self._how = path, codec, dict(how)
        # Kept as JSON: a change must come back as it was, whatever the file's codec.
        self._changes = _ChangeFiles(self._revisions, JsonCodec(), ".json", {"mode": 0o600})

    def apply(self, group: Group, change_id: str, options: Mapping[str, Any]) -> None:
        self._keep_base()
        self._changes.write(group, change_id, options)
        self.mend()

    def remove(self, group: Group, change_id: str) -> bool:
        removed = self._changes.remove(group, change_id)
        self.mend()
        return removed

    def get(self, group: Group, change_id: str) -> dict[str, Any] | None:
        return self._changes.get(group, change_id)

    def list(self, group: Group) -> list[str]:
        return self._changes.ids(group)

    def effective(self, *, without: Group | None = None) -> dict[str, Any]:
        settings = dict(self._read_base())
        for change in self._changes.all(without):
            settings = merge(settings, change)
        return settings

    def write_base(self, content: bytes) -> None:
        if self._kept.exists():
            files.write_bytes(self._kept, content)
            self.mend()
        else:
            files.write_bytes(self._file, content, **self._how)

    def mend(self) -> None:
        """Make the file what the kept base and the changes say."""
        if not self._kept.exists():
            return
        if any(self._changes.ids(group) for group in Group):
            files.write(self._file, self.effective(), self._codec, **self._how)
        else:
            files.write_bytes(self._file, self._kept.read_bytes(), **self._how)
            files.remove(self._kept)

    @property
    def _file(self) -> pathlib.Path:
        assert self._path is not None
        return self._path

    @property
    def _kept(self) -> pathlib.Path:
        return self._revisions / self.BASE

    def _keep_base(self) -> None:
        if not self._kept.exists():
            files.make_directory(self._revisions, mode=0o700)
            content = self._file.read_bytes() if self._file.exists() else b""
            files.write_bytes(self._kept, content, mode=0o600)

    def _read_base(self) -> Mapping[str, Any]:
        source = self._kept if self._kept.exists() else self._file
        data: Mapping[str, Any] = files.read(source, self._codec, default={})
        return data


class ConfigurationManager:
    """One configuration file and the changes over it.

    :param path: the file
    :param codec: its form
    :param strategy: how changes get into force
    :param owner: user that the files belong to; None keeps the agent's
    :param group: group of the files; None means the owner's
    :param mode: permission bits of the files
    :param validate: raises for settings that the datastore refuses; called with
        each change of the user before anything is written
    """

    def __init__(self, path: str | pathlib.Path, codec: Codec, strategy: OverrideStrategy, *,
                 owner: str | None = None, group: str | None = None, mode: int = 0o640,
                 validate: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        self.path = pathlib.Path(path)
        self._codec = codec
        self._strategy = strategy
        self._validate = validate
        strategy.bind(self.path, codec, {"owner": owner, "group": group, "mode": mode})

    # ---- the base ---------------------------------------------------------

    def save(self, settings: Mapping[str, Any]) -> None:
        """Write the base; changes stay over it."""
        content = self._codec.serialize(settings)
        self._write(content)

    def save_text(self, text: str) -> None:
        """Write the base as a text that is made already.

        :raises ValueError: the text does not fit the codec
        """
        self._codec.deserialize(text)
        self._write(text)

    def _write(self, content: str | bytes) -> None:
        if isinstance(content, str):
            content = content.encode("utf-8", errors="surrogateescape")
        self._strategy.write_base(content)

    # ---- what is in force -------------------------------------------------

    def effective(self) -> dict[str, Any]:
        """Return all settings in force."""
        return self._strategy.effective()

    def without_user(self) -> dict[str, Any]:
        """Return the settings that would be in force without the user's."""
        return self._strategy.effective(without=Group.USER)

    def final(self) -> dict[str, Any]:
        """Return the agent's settings that nothing replaces."""
        settings: dict[str, Any] = {}
        for change_id in self._strategy.list(Group.SYSTEM_FINAL):
            settings = merge(settings, self._strategy.get(Group.SYSTEM_FINAL, change_id) or {})
        return settings

    def get_value(self, key: str, section: str | None = None, default: Any = None) -> Any:
        """Return a setting in force.

        :param section: the section that holds it, for forms that have sections
        """
        settings: Any = self.effective()
        if section is not None:
            settings = settings.get(section, {})
        return settings.get(key, default)

    # ---- changes ----------------------------------------------------------

    def apply_system(self, options: Mapping[str, Any], change_id: str = DEFAULT_CHANGE, *,
                     final: bool = False) -> None:
        """Lay a change of the agent over the file.

        :param final: True if the user's settings must not replace it
        """
        self._strategy.apply(_system(final), check_change_id(change_id), options)

    def remove_system(self, change_id: str = DEFAULT_CHANGE, *, final: bool = False) -> bool:
        """Take a change of the agent away; False if there was none."""
        return self._strategy.remove(_system(final), check_change_id(change_id))

    def has_system(self, change_id: str = DEFAULT_CHANGE, *, final: bool = False) -> bool:
        """Return True if a change of the agent is in force."""
        return self._strategy.get(_system(final), check_change_id(change_id)) is not None

    def apply_user(self, options: Mapping[str, Any],
                   change_id: str = DEFAULT_CHANGE) -> None:
        """Lay the user's settings over the file; those of the same id are replaced.

        :raises Conflict: settings of another id are in force
        """
        check_change_id(change_id)
        if self._validate is not None:
            self._validate(options)
        others = [known for known in self._strategy.list(Group.USER) if known != change_id]
        if others:
            raise Conflict("Another configuration group is applied to this instance.")
        self._strategy.apply(Group.USER, change_id, options)

    def update_user(self, options: Mapping[str, Any],
                    change_id: str = DEFAULT_CHANGE) -> None:
        """Lay more settings over the user's own."""
        self.apply_user(merge(self.user_override(change_id), options), change_id)

    def remove_user(self, change_id: str | None = None) -> bool:
        """Take the user's settings away, of one id or whatever there is."""
        known = self._strategy.list(Group.USER) if change_id is None else [change_id]
        removed = [self._strategy.remove(Group.USER, one) for one in known]
        return any(removed)

    def has_user(self, change_id: str = DEFAULT_CHANGE) -> bool:
        """Return True if settings of the user are in force under this id."""
        return self._strategy.get(Group.USER, change_id) is not None

    def user_override(self, change_id: str = DEFAULT_CHANGE) -> dict[str, Any]:
        """Return the user's settings, empty if there are none."""
        return self._strategy.get(Group.USER, change_id) or {}

    def user_value(self, key: str, section: str | None = None) -> Any:
        """Return a setting of the user's, or None."""
        found: Any = self.user_override()
        if section is not None:
            found = found.get(section, {})
        value = found.get(key, _MISSING)
        return None if value is _MISSING else value


def check_change_id(change_id: str) -> str:
    """Return the id if it can be part of a file name.

    :raises BadRequest: it cannot
    """
    if not _CHANGE_ID.fullmatch(change_id):
        raise BadRequest("The id of a configuration change has letters, digits, _ and . only.")
    return change_id


def _system(final: bool) -> Group:
    return Group.SYSTEM_FINAL if final else Group.SYSTEM
