"""What an installation needs of its machine: versions, disk, folders that it may write to, a GPU."""

import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lsec.core.inspections import Finding, broken, listed, ok, warning
from lsec.core.settings import MIB, Settings

SERVER_EXTRAS = ("api", "workers")
MIN_FREE_SHARE, MIN_FREE_MB, NO_ROOM_MB = 0.10, 2048, 256
NVIDIA = Path("/proc/driver/nvidia/version")


def machine(settings: Settings) -> Iterator[Finding]:
    """Findings on the machine that this process runs on."""
    yield versions()
    folder = _existing(settings.data_dir)
    usage = shutil.disk_usage(folder)
    yield judge_disk(folder, free_mb=usage.free // MIB, total_mb=usage.total // MIB)
    folders = (settings.data_dir, settings.artifacts_path, settings.runs_path, settings.snapshots_path)
    yield judge_folders(
        [path for path in folders if not os.access(_existing(path), os.R_OK | os.W_OK | os.X_OK)]
    )
    yield device(settings)


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def versions() -> Finding:
    """Whether Python and the libraries are within the bounds of this version of lsec."""
    needed = SpecifierSet(metadata("lsec")["Requires-Python"])
    if not needed.contains(platform.python_version(), prereleases=True):
        detail = f"Python is {platform.python_version()}; lsec wants {needed}."
        return broken("versions", detail, remedy="Install such a Python, and lsec in it anew: `uv sync`.")
    wanted = [Requirement(text) for text in requires("lsec") or []]
    extras = ("", *SERVER_EXTRAS)
    asked = [
        each
        for each in wanted
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
    ]
    return judge_versions(asked, {each.name: _version(each.name) for each in asked})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def judge_versions(wanted: Iterable[Requirement], found: Mapping[str, str | None]) -> Finding:
    """Whether each library is there in a version that is wanted; None for one that is not there."""
    wrong, num_wanted = [], 0
    for each in wanted:
        num_wanted += 1
        has = found[each.name]
        if has is None:
            wrong.append(f"{each.name} is not installed")
        elif not each.specifier.contains(has, prereleases=True):
            wrong.append(f"{each.name} is {has}, wanted is {each.specifier}")
    if wrong:
        remedy = "`uv sync --extra api --extra workers --extra local` installs those of the lock file."
        return broken("versions", f"{listed(sorted(set(wrong)))}.", remedy=remedy)
    return ok("versions", f"Python {platform.python_version()} and {num_wanted} requirements are as wanted.")


def judge_disk(folder: Path, *, free_mb: int, total_mb: int) -> Finding:
    """Whether the disk of the data folder has room."""
    share = free_mb / max(1, total_mb)
    detail = f"{free_mb} MB ({share:.0%}) of the disk of {folder} are free."
    remedy = (
        "Free some space: `lsec snapshots list` and `lsec releases list` show what can be deleted; "
        "LSEC_KEPT_ARTIFACTS, LSEC_KEPT_SNAPSHOTS, LSEC_RUN_RETENTION_DAYS and LSEC_RETENTION_DAYS limit it."
    )
    if free_mb < NO_ROOM_MB:
        return broken("disk", detail, remedy=remedy)
    if free_mb < MIN_FREE_MB or share < MIN_FREE_SHARE:
        return warning("disk", detail, remedy=remedy)
    return ok("disk", detail)


def judge_folders(closed: Iterable[Path]) -> Finding:
    """What it means that these folders cannot be read and written."""
    names = [str(path) for path in closed]
    if not names:
        return ok("folders", "This user may read and write the data's folders.")
    detail = f"User {os.getuid()} may not read and write {listed(names)}."
    remedy = f"Run it as the user who made them, or: sudo chown -R {os.getuid()} {names[0]}"
    return broken("folders", detail, remedy=remedy)


def device(settings: Settings) -> Finding:
    """Whether a GPU is there where the settings want one; whether training can use it, its log tells."""
    # Loading torch to ask takes seconds.
    has_gpu = NVIDIA.exists() or shutil.which("nvidia-smi") is not None
    if settings.device == "cuda" and not has_gpu:
        remedy = "Set LSEC_DEVICE=auto or cpu, or install the GPU's driver (`nvidia-smi` must list it)."
        return broken("device", "LSEC_DEVICE is cuda, and this machine shows no GPU.", remedy=remedy)
    return ok("device", f"LSEC_DEVICE is {settings.device}; {'a' if has_gpu else 'no'} GPU is there.")
