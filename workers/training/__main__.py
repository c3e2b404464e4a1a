"""`python -m workers.training RUN_FOLDER`: the training subprocess.

Progress goes to stdout, one JSON object a line. The exit status is 0 when the artifact is there, 3 when the
input cannot be trained on (the last line is then `{"error": ...}`), and 4 when the parent is gone.
With `--leased` before the folder it is 5 when the parent has not said for too long that it holds the run.

`torchrun --nproc-per-node 2 -m workers.training RUN_FOLDER` trains in two processes, of which each holds half
of the users; on a machine with GPUs each takes one. The artifact is the same within rounding, and a
checkpoint goes on with any number of processes. Over several machines, which must be alike, they share the
folder. The exit status of `torchrun` is 1 when a process fails, whatever that one's is.
"""

import os
import sys

from lsec.core.jobs import LEASE_S
from workers.training.memory import prepare_memory
from workers.training.parent import exit_with_parent

LEASED = "--leased"
MARGIN_S = 3.0
"""So much before another worker may have the run."""

if __name__ == "__main__":
    # Before torch, whose import takes seconds in which the parent may go.
    is_leased = LEASED in sys.argv[1:]
    exit_with_parent(lease_s=LEASE_S - MARGIN_S if is_leased else None)
    prepare_memory()
    # A step has hundreds of barriers. Beside other busy processes OpenMP's long spin at each makes it twice
    # as slow as this short one, which costs nothing on idle cores. Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from workers.training.run import main

    sys.exit(main([argument for argument in sys.argv[1:] if argument != LEASED]))
