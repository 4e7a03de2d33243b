"""Putting backups of the server's files together: a full one, and those that continue it."""

from __future__ import annotations

import pathlib
import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.common.secret import Secret
from trove_ng.guestagent import versions
from trove_ng.guestagent.datastores.mysql_family import causes
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import swift
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.storage.packing import unpack
from trove_ng.rpc import messages as m

#: what the program says last when all went well
DONE = "completed OK!"
_MB = 1024 * 1024
#: user that unpacks, and owns the data: what a backup holds gets no more rights than that
_OWNER = "mysql"


class Link(NamedTuple):
    """One backup of a chain, with what is needed to read it."""

    stored: m.StoredBackup
    grant: m.ObjectStoreGrant
    key: Secret | None


class Restore:
    """Makes the data directory from a chain of backups.

    All is checked and put together beside the data directory, and moved there at the end.
    """

    def __init__(self, tool: Tool, paths: Paths, patience: Patience,
                 progress: Progress) -> None:
        self._tool = tool
        self._paths = paths
        self._patience = patience
        self._progress = progress
        self._done, self._all = 0, 1

    def run(self, restore: m.RestoreSpec) -> None:
        """Restore.

        :raises BadRequest: the backups do not continue each other, or are not for this server
        :raises GuestError: a checksum is wrong, or a program failed
        """
        links = _links(restore, self._tool)
        check_chain(restore.chain, self._tool)
        self._tool.check(self._tool.version())
        for one in links:
            swift.verify(one.stored, one.grant, self._patience, self._progress.check)
        self._all += sum(one.size for one in restore.chain)
        self._clear()
        _check_room(restore.chain, filesystem_stats(self._paths.mount).free)
        try:
            self._assemble(links)
            self._put_in_place()
        finally:
            self._clear()

    def _clear(self) -> None:
        for folder in (self._paths.staging, self._paths.increment):
            files.remove(folder, recursive=True)

    def _assemble(self, links: Sequence[Link]) -> None:
        """Unpack the full backup, apply the others one after the other."""
        staging, increment = self._paths.staging, self._paths.increment
        for number, link in enumerate(links):
            target = increment if number else staging
            files.make_directory(target, mode=0o700, owner=_OWNER)
            self._extract(link, target)
            self._prepare(staging, increment if number else None,
                          last=number == len(links) - 1)
            files.remove(increment, recursive=True)

    def _put_in_place(self) -> None:
        staging = self._paths.staging
        files.change_owner(staging, _OWNER, _OWNER, recursive=True)
        files.change_mode(staging, 0o750)
        if self._paths.data.exists():
            # prepare made sure that it is empty
            self._paths.data.rmdir()
        staging.rename(self._paths.data)
        files.sync_directory(self._paths.mount)

    def _extract(self, link: Link, target: pathlib.Path) -> None:
        with Program([self._tool.unpacker, "-x", "-C", str(target)], stdin=subprocess.PIPE,
                     explain=causes.find, user=_OWNER) as program:
            assert program.process.stdin is not None
            try:
                unpack(link.stored, link.grant, link.key, program.process.stdin,
                       self._patience, check=self._progress.check, passed=self._passed)
                program.process.stdin.close()
            except BrokenPipeError:
                program.collect()
                raise program.failure("ended before its input") from None
            program.wait()

    def _passed(self, size: int) -> None:
        self._done += size
        self._progress.report(10 + 40 * self._done // self._all)

    def _prepare(self, staging: pathlib.Path, increment: pathlib.Path | None, *,
                 last: bool) -> None:
        argv = [self._tool.program, "--no-defaults", "--prepare", f"--target-dir={staging}"]
        if self._tool.keeps_open and not last:
            argv.append("--apply-log-only")
        if increment is not None:
            argv.append(f"--incremental-dir={increment}")
        with Program(argv, explain=causes.find, user=_OWNER) as program:
            program.wait()
            if not program.said(DONE):
                raise program.failure("did not complete")


def _links(restore: m.RestoreSpec, tool: Tool) -> list[Link]:
    keys = restore.keys or [None] * len(restore.chain)
    if not restore.chain or not len(restore.grants) == len(keys) == len(restore.chain):
        raise BadRequest("A restore needs backups, and the leave to read each of them.")
    links = [Link(*one) for one in zip(restore.chain, restore.grants, keys, strict=True)]
    for one in links:
        if one.stored.metadata.get("form") == tool.encrypted and one.key is None:
            raise BadRequest("The backup is encrypted, and its key is not known.")
    return links


def check_fits(stored: m.StoredBackup, tool: Tool, installed: str) -> None:
    """Refuse a backup that this server cannot read.

    What a backup of an earlier release does not record is not checked.

    :param installed: version of the server
    :raises BadRequest: it is of another engine, of a version that does not do, or of another
        form
    """
    about = stored.metadata
    if about.get("engine", tool.engine) != tool.engine:
        raise BadRequest("The backup is of another database engine.")
    if about.get("form", tool.form) not in (tool.form, tool.encrypted):
        raise BadRequest("The backup has a form that this release does not know.")
    version = about.get("version", installed)
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version):
        raise BadRequest("The version in the record of the backup cannot be read.")
    if versions.is_older(installed, version) or not tool.upgrades and version != installed:
        raise BadRequest(f"The backup is of version {version}, and the server has "
                         f"{installed}.")


def check_chain(chain: Sequence[m.StoredBackup], tool: Tool) -> None:
    """Refuse backups that do not continue each other, or that this server cannot read.

    :param chain: the full one first
    :raises BadRequest: says which rule is broken
    """
    installed = tool.version()
    for number, stored in enumerate(chain):
        check_fits(stored, tool, installed)
        begin = stored.metadata.get("from_lsn", "0")
        if not number:
            if begin != "0":
                raise BadRequest("The first backup of the chain is not a full one.")
        elif (begin != chain[number - 1].metadata.get("to_lsn")
              or stored.metadata.get("parent", "") != chain[number - 1].checksum):
            raise BadRequest(f"Backup {number + 1} of the chain does not continue the one "
                             "before it.")


def _check_room(chain: Sequence[m.StoredBackup], free: int) -> None:
    """Refuse what does not fit: the full backup, and one of the others at a time.

    :raises GuestError: the volume is too small
    """
    needed = chain[0].data_size + max((one.data_size for one in chain[1:]), default=0)
    if needed > free:
        raise GuestError(f"The volume is too small: the backup needs "
                         f"{-(-needed // _MB)} MiB, and {free // _MB} MiB are free.")
