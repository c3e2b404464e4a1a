"""The layout tells the truth: fixed top level, and no package that shadows another."""

import ast
import importlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {"platform", "workers", "graph_schema", "tests", "alembic", "bench", "docs", ".ci"}
TOP_FILES = {
    "docker-compose.yml",
    "README.md",
    "pyproject.toml",
    "uv.lock",
    "Makefile",
    "Dockerfile",
    "alembic.ini",
    ".gitignore",
    ".dockerignore",
}


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_the_top_level_is_the_fixed_one() -> None:
    files = tracked_files()
    assert {f.parts[0] for f in files if len(f.parts) > 1} <= TOP_LEVEL
    assert {f.name for f in files if len(f.parts) == 1} == TOP_FILES


@pytest.mark.parametrize("folder", ["platform", "alembic"])
def test_a_folder_named_like_a_library_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()
    module = importlib.import_module(folder)
    assert module.__file__ is not None
    assert not Path(module.__file__).is_relative_to(ROOT / folder)


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path in tracked_files()
        if path.suffix == ".py" and not ast.get_docstring(ast.parse((ROOT / path).read_text()))
    ]
    assert silent == []


def test_modules_stay_small() -> None:
    large = {
        str(path): count
        for path in tracked_files()
        if path.suffix == ".py" and (count := len((ROOT / path).read_text().splitlines())) > 300
    }
    assert large == {}
