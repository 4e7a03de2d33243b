"""What threads allocate from."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: prints the places of glibc after threads have allocated beside each other
_PROGRAM = """
import ctypes, threading
from trove_ng.guestagent.os import memory

{begin}
libc = ctypes.CDLL(None)
libc.malloc.restype, meet = ctypes.c_void_p, threading.Barrier(4)


def allocate():
    libc.malloc(100)
    meet.wait()


threads = [threading.Thread(target=allocate) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
stdout = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stdout)
libc.fflush(stdout)
"""


@pytest.mark.parametrize(("begin", "one"), [("memory.keep_in_one_place()", True), ("", False)])
def test_threads_allocate_from_one_place(begin: str, one: bool) -> None:
    found = subprocess.run([sys.executable, "-c", _PROGRAM.format(begin=begin)], check=True,
                           capture_output=True, text=True).stdout
    assert found.count("<heap nr=") >= 1
    assert (found.count("<heap nr=") == 1) is one
