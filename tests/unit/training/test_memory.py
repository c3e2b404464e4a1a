"""What a process frees stays with it, in a process of its own, since it stays so."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from workers.training.memory import keep_freed_memory

def num_pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(2**21)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(num_pages(10))
keep_freed_memory()
num_pages(1)
print(num_pages(10))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_memory_is_not_mapped_anew() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 10
