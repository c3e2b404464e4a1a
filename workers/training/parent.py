"""The end of this process when the one that started it is gone."""

import os
import threading
import time

PARENT_GONE_EXIT = 4


def exit_with_parent(*, poll_s: float = 0.5) -> None:
    """Watches the parent from a daemon thread from now on.

    PR_SET_PDEATHSIG would be Linux only, and fires when the parent's *thread* ends that started this process.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_s)
        os._exit(PARENT_GONE_EXIT)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
