"""Files that a power loss or a kill cannot leave half-written: written aside, synced, then renamed."""

import errno
import os
import shutil
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    sync(partial)
    partial.rename(path)
    sync(path.parent)


def move_folder(source: Path, target: Path) -> None:
    """Move a folder, across file systems too, so that `target` is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
        for path in partial.rglob("*"):
            sync(path)
        partial.rename(target)
        shutil.rmtree(source)
    sync(target.parent)


def sync(path: Path) -> None:
    """Have a file, or a folder's list of names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
