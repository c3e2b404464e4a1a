"""The paper's HET-LightGCN as its authors train it, by their own code in an environment of its own.

The code is `rechub`, which needs releases of DGL and torch that do not go with the platform's. The first run
installs them into the user's cache folder: minutes, and 5 GB on disk. It needs Python 3.11.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from bench.fresh_process import ROOT, tell
from bench.layout import DataSet
from lsec.core.errors import LsecError
from lsec.core.metrics import CandidateLists

PYTHON = "3.11"
PINS = {
    "rechub": "0.0.5",
    "dgl": "1.1.3",
    "torch": "2.1.1",
    "numpy": "1.26.4",
    "pandas": "2.2.3",
    "setuptools": "75.8.0",
}
MODEL = "HET-LightGCN"
OPTIONS = {"model_name": MODEL, "learning_rate": 0.005, "num_workers": 0}
"""The rest is their default, but for the learning rate (theirs does not get there in time) and the processes
that load (16 on few cores are slower than none)."""
METADATA = {
    "graph": {
        "node": [{"filename": f"{name}.tsv", "attribute": []} for name in ("item", "user", "streamer")],
        "edge": [
            {"filename": f"{name}.tsv", "weighted": False}
            for name in ("user-item-buy", "user-streamer-follow", "streamer-item-sell")
        ],
    },
    "task": [
        {
            "filename": "user-item-buy.tsv",
            "type": "top-k-recommendation",
            "loss": "binary-cross-entropy",
            "weight": 1,
        }
    ],
}
MAX_EPOCHS = 1000
PROBE_EPOCHS, PROBE_S = 15, 60.0
"""How long one number of threads is tried."""


class AuthorsUnavailable(LsecError):
    """Their code cannot be installed or does not run here."""

    title = "The authors' code does not run here"


@dataclass(frozen=True, slots=True)
class Best:
    """Their best NDCG@10 on the val part, first reached after so many epochs and seconds of training."""

    ndcg: float
    epochs: int
    seconds: float
    threads: int
    is_measured: bool = True


GIVEN = {"lastfm": Best(0.3071, 255, 100.0, threads=1, is_measured=False)}
"""By data set, what was measured elsewhere: for where their code does not run."""


def environment_folder() -> Path:
    """Where the environment of these pins is, or will be."""
    pins = "-".join(f"{name}-{PINS[name]}" for name in ("rechub", "dgl", "torch"))
    return platformdirs.user_cache_path("lsec") / "bench" / f"{pins}-py{PYTHON}"


def installed_python(folder: Path) -> Path:
    """The environment's Python; it is installed first where it is not there yet."""
    python = folder / "bin" / "python"
    is_whole = folder / "installed"
    if is_whole.exists():
        return python
    tell(f"installing the authors' code into {folder}: some minutes, and 5 GB on disk")
    pins = [f"{name}=={version}" for name, version in PINS.items()]
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([_base_python(), "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *pins])
        is_whole.touch()
    except OSError as error:
        raise AuthorsUnavailable(f"They cannot be installed: {error}.") from error
    return python


def _base_python() -> str:
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        return sys.executable
    found = shutil.which(f"python{PYTHON}")
    if found is None:
        raise AuthorsUnavailable(f"There is no Python {PYTHON}, the latest that its DGL is built for.")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sentences = done.stderr.strip().splitlines() or ["no message"]
        raise AuthorsUnavailable(f"{' '.join(command[1:4])}: {sentences[-1]}")


def train_authors(data: DataSet, *, minutes: float, max_threads: int, python: Path) -> Best:
    """The best of their training, which ends by itself or after these minutes, evaluations included.

    It has one thread or max_threads, whichever is faster over its first epochs.
    """
    assert data.val is not None, "their layout has a val part"
    with tempfile.TemporaryDirectory(prefix="authors-") as name:
        folder = Path(name)
        write_layout(data, folder)
        threads = _fastest_threads(folder, python, max_threads)
        best = Best(-1.0, 0, 0.0, threads)
        for point in _points(folder, python, threads=threads, wall_seconds=60 * minutes):
            tell(f"authors' {MODEL}: epoch {point.epochs}, {point.seconds:.1f} s, NDCG@10 {point.ndcg:.4f}")
            if point.ndcg > best.ndcg:
                best = point
    if best.seconds == 0:
        raise AuthorsUnavailable("Their training was over before it had learnt anything.")
    return best


def _fastest_threads(folder: Path, python: Path, max_threads: int) -> int:
    if max_threads == 1:
        return 1
    seconds: dict[int, float] = {}
    for threads in (1, max_threads):
        *_, last = _points(folder, python, threads=threads, num_epochs=PROBE_EPOCHS)
        seconds[threads] = last.seconds / last.epochs if last.epochs else math.inf
        tell(f"authors' {MODEL}: {seconds[threads]:.3f} s per epoch by {threads} threads")
    return min(seconds, key=seconds.__getitem__)


def _points(
    folder: Path, python: Path, *, threads: int, num_epochs: int = MAX_EPOCHS, wall_seconds: float = PROBE_S
) -> Iterator[Best]:
    """Each of their evaluations as it comes; AuthorsUnavailable when none did, or at a bad end."""
    metadata = folder / "metadata.json"
    metadata.write_text(json.dumps(METADATA))
    paths = {"dataset_path": folder, "metadata_path": metadata}
    options = OPTIONS | paths | {"num_epochs": num_epochs, "seconds": wall_seconds}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    log = folder / "stderr"
    num_points = 0
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [str(python), str(ROOT / "bench" / "authors_driver.py"), *arguments],
            cwd=folder,
            env=_variables(threads),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None, "it was asked for"
        for line in process.stdout:
            if line.startswith("{"):  # their own lines begin with words
                point: Mapping[str, Any] = json.loads(line)
                yield Best(point["ndcg@10"], point["epoch"], point["seconds"], threads)
                num_points += 1
    if process.returncode or not num_points:
        sentences = log.read_text().strip().splitlines() or ["no message"]
        raise AuthorsUnavailable(f"Their training ended with status {process.returncode}: {sentences[-1]}")


def _variables(threads: int) -> dict[str, str]:
    """The process environment: the platform's metrics beside their code, and so many threads."""
    return dict(os.environ) | {
        "PYTHONPATH": str(ROOT / "platform"),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
        "DGLBACKEND": "pytorch",
    }


def write_layout(data: DataSet, folder: Path) -> None:
    """The train and val parts in the paper's layout as plain tables, with rows as ids: they index by them."""
    train = data.train
    sizes = {"user": train.num_users, "item": train.num_products, "streamer": train.num_streamers}
    for name, size in sizes.items():
        _write_table(folder / "train" / f"{name}.tsv", {name: np.arange(size)})
    for name, pairs in (
        ("user-item-buy", train.buys),
        ("user-streamer-follow", train.follows),
        ("streamer-item-sell", train.sells),
    ):
        source, target, _ = name.split("-")
        _write_table(folder / "train" / f"{name}.tsv", {source: pairs.sources, target: pairs.targets})
    for part, lists in (("val", data.val), ("test", data.test)):
        if lists is not None:
            _write_table(folder / part / "user-item-buy.tsv", _candidates(lists))


def _candidates(lists: CandidateLists) -> dict[str, Any]:
    rows, columns = np.nonzero(lists.is_valid)
    return {
        "user": lists.users[rows],
        "item": lists.products[rows, columns],
        "value": lists.is_positive[rows, columns].astype(np.int64),
    }


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.column_stack(list(columns.values()))
    np.savetxt(path, table, fmt="%d", delimiter="\t", header="\t".join(columns), comments="")
