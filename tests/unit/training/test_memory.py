"""What is set of a process' memory, each in a process of its own, since it stays so."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource
import numpy as np
from workers.training.memory import prepare_memory

def num_pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(2**21)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(num_pages(10))
prepare_memory()
num_pages(1)
print(num_pages(10))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_memory_is_not_mapped_anew() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 10


PIECES = """
import numpy as np
import psutil
from workers.training.memory import give_back_freed_memory, prepare_memory

def held_mb():
    return psutil.Process().memory_info().rss // 2**20

prepare_memory()
tables = [np.ones(2**18) for _ in range(100)]
del tables[::2]
before = held_mb()
give_back_freed_memory()
print(before, held_mb(), len(tables))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_what_lies_free_between_tables_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True)
    before, after, num_in_use = map(int, done.stdout.split())
    assert num_in_use == 50
    assert before - after > 50, "half of 200 MiB is free"


SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE = """
from workers.training.memory import prepare_memory
prepare_memory()
import torch
tables = [torch.ones(2**24) for _ in range(2)]
rollup = open("/proc/self/smaps_rollup").read()
print(int(rollup.partition("AnonHugePages:")[2].split()[0]) // 2**10)
"""


@pytest.mark.skipif(
    not SETTING.exists() or "[madvise]" not in SETTING.read_text(), reason="only where a process may choose"
)
def test_large_tables_lie_in_huge_pages() -> None:
    done = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 64, "most of two tables of 64 MiB"
