"""How the memory of a training is laid out, what is kept of it between steps, and when it is given back."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of glibc's `mallopt(3)`."""
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""torch's variable."""


def prepare_memory() -> None:
    """Lay large tables in huge pages and, where the C library is glibc, keep what is freed for the next step.

    A step makes and frees dozens of tables of megabytes. By default each is mapped anew, page by page, and
    unmapped, which takes a tenth of a step. In pages of 2 MiB, which torch asks for if its first tensor finds
    the variable, it takes a twentieth less again, where the system lets a process choose.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform == "linux" and mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Give what is free now back to the system, arrow's too.

    Before a training, that is what reading the data and an earlier training leave, in pieces that the tables
    of the next do not fit into.
    """
    # Only here: the training's process calls the above before it imports anything that takes long.
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
