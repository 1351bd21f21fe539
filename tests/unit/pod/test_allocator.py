from __future__ import annotations

import subprocess
import sys

FAULTS = """
import ctypes, resource
from finetune_trainer.pod.allocator import keep_freed_memory
assert keep_freed_memory() is {keeps}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 40 * 2**20
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Pages that the kernel has to clear for one block, three times."""


def faults(code: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_a_freed_block_is_used_again_without_the_kernel() -> None:
    first, *later = faults(FAULTS.format(keeps=True))
    assert first > 0
    assert max(later) == 0


def test_by_itself_the_c_library_gives_it_back_and_asks_for_it_again() -> None:
    given_back = FAULTS.replace("assert keep_freed_memory() is {keeps}", "")
    assert all(count > 0 for count in faults(given_back))
