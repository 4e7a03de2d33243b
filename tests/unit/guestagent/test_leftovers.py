from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import uuid

import pytest

from tests.unit.guestagent.conftest import eventually
from trove_ng.guestagent import leftovers
from trove_ng.guestagent.os import commands, files

#: runs a program as the agent does, and is killed
AGENT = """
import os, signal, subprocess, sys
from trove_ng.guestagent.os import commands, streaming
os.environ[commands.MARK] = sys.argv[1]
# a shell with a child of its own
with streaming.Program(["sh", "-c", "sleep 600 & wait"], stdout=subprocess.PIPE) as program:
    print(program.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_programs_of_a_killed_agent_are_ended_with_their_children_and_no_others() -> None:
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    bystander = subprocess.Popen(["sleep", "600"], env={commands.MARK: other})
    try:
        done = subprocess.run([sys.executable, "-c", AGENT, mine], capture_output=True,
                              text=True)
        assert done.returncode == -signal.SIGKILL
        shell = done.stdout.strip()
        children = pathlib.Path("/proc", shell, "task", shell, "children")
        eventually(lambda: children.read_text().strip())
        # for a moment after its start a program shows none
        environ = pathlib.Path("/proc", children.read_text().strip(), "environ")
        eventually(lambda: mine.encode() in environ.read_bytes())
        assert leftovers.end_programs(mine) == 2
        assert leftovers.end_programs(mine) == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_the_scratch_directory_is_emptied(tmp_path: pathlib.Path) -> None:
    (tmp_path / "backup-1").mkdir()
    (tmp_path / "backup-1" / "notes").write_text("x")
    (tmp_path / "file").write_text("x")
    leftovers.clear_scratch(tmp_path)
    assert list(tmp_path.iterdir()) == []
    leftovers.clear_scratch(tmp_path / "none")


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts")
def test_what_is_mounted_in_the_scratch_directory_is_unmounted_and_not_emptied(
        tmp_path: pathlib.Path) -> None:
    kept = tmp_path / "customer"
    kept.mkdir()
    (kept / "data").write_text("x")
    mount = tmp_path / "scratch" / "migrate-1"
    mount.mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(kept), str(mount)], check=True)
    with (mount / "data").open():
        # busy: left as it is
        leftovers.clear_scratch(tmp_path / "scratch")
        assert (mount / "data").read_text() == "x"
    leftovers.clear_scratch(tmp_path / "scratch")
    assert not mount.exists()
    assert (kept / "data").read_text() == "x"


def test_only_unfinished_files_are_removed(tmp_path: pathlib.Path) -> None:
    for name in ("status.json", ".guestagent.prepare.end", ".my", "sequence"):
        (tmp_path / name).write_text("x")
    kept = sorted(path.name for path in tmp_path.iterdir())
    writing = files.replacing(tmp_path / "status.json")
    writing.__enter__().write(b"half")
    assert len(list(tmp_path.iterdir())) == len(kept) + 1
    leftovers.remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
