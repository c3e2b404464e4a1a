"""How the C library keeps the memory that a training's steps free, and when it gives that back."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of glibc's `mallopt(3)`."""


def keep_freed_memory() -> None:
    """Keep what is freed for the next step, where the C library is glibc.

    A step makes and frees dozens of tables of megabytes. By default each is mapped anew, page by page, and
    unmapped, which takes a tenth of a step.
    """
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
