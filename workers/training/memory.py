"""How the C library keeps the memory that a training's steps free."""

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
