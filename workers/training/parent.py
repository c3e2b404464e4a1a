"""The end of this process when the one that started it is gone, or no longer holds the run."""

import os
import select
import threading
import time

PARENT_GONE_EXIT = 4
LEASE_LOST_EXIT = 5
POLL_S = 0.5
STDIN = 0


def exit_with_parent(*, lease_s: float | None = None) -> None:
    """Watches the parent from a daemon thread from now on.

    With `lease_s` the parent writes to the standard input as long as it holds the run: after so long without
    a byte, or at its end, this process ends too. PR_SET_PDEATHSIG would be Linux only, fires when the
    parent's *thread* ends that started this process, and says nothing of a parent that is frozen.
    """
    parent = os.getppid()

    def watch() -> None:
        heard_at = time.monotonic()
        while os.getppid() == parent:
            if lease_s is None:
                time.sleep(POLL_S)
            elif select.select([STDIN], [], [], POLL_S)[0]:
                if not os.read(STDIN, 4096):
                    break
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > lease_s:
                os._exit(LEASE_LOST_EXIT)
        os._exit(PARENT_GONE_EXIT)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
