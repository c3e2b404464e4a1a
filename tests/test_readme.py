"""The README tells the truth: its generated parts are what the code says.

After a change of commands, settings, queries or files: `python tests/test_readme.py` writes them anew.
"""

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from graph_schema.queries import load_query, query_names
from lsec.cli.main import app
from lsec.core.settings import Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SOURCES = ("graph_schema", "platform", "workers", "alembic", "bench")


def settings_table() -> str:
    """One row a setting: its variable, default and meaning."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        rows.append(
            f"| `LSEC_{name.upper()}` | {'' if shown in (None, '') else f'`{shown}`'} | {field.description} |"
        )
    return "\n".join(rows)


def commands_table() -> str:
    """One row a command of `lsec`."""
    group = typer.main.get_command(app)
    rows = ["| command | what it does |", "| --- | --- |"]
    commands = getattr(group, "commands")  # noqa: B009 - typer's own group class is private
    for name, command in sorted(commands.items()):
        first = (command.help or command.short_help or "").strip().split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `lsec {name}` | {first} |")
    return "\n".join(rows)


def queries_table() -> str:
    """One row a named influence query."""
    rows = ["| query | parameters | what it answers |", "| --- | --- | --- |"]
    for name in query_names():
        if name.startswith("influence/"):
            query = load_query(name)
            parameters = ", ".join(f"`{p}`" for p in query.parameters)
            rows.append(f"| `{name.split('/')[1].replace('_', '-')}` | {parameters} | {query.doc} |")
    return "\n".join(rows)


def layout_list() -> str:
    """One line a source file, by its own docstring."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *SOURCES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = []
    for path in sorted(set(listed.stdout.splitlines())):
        if path.endswith(".py") and (ROOT / path).is_file():
            docstring = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""
            purpose = " ".join(docstring.split("\n\n")[0].split())
            lines.append(f"- `{path}`: {purpose}")
    return "\n".join(lines)


GENERATED: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "commands": commands_table,
    "queries": queries_table,
    "layout": layout_list,
}


def section(name: str, text: str) -> re.Match[str]:
    """The part of the README between a generated section's marks."""
    match = re.search(rf"(<!-- {name} -->\n)(.*?)(\n<!-- /{name} -->)", text, re.DOTALL)
    assert match is not None, f"the README has no section {name}"
    return match


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_part_is_what_the_code_says(name: str) -> None:
    assert section(name, README.read_text())[2] == GENERATED[name]()


def test_each_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", README.read_text()))
    assert named <= targets
    assert {"demo", "test", "check", "bench", "up"} <= named


def test_each_command_line_shown_is_a_command() -> None:
    group = typer.main.get_command(app)
    commands = set(getattr(group, "commands"))  # noqa: B009 - typer's own group class is private
    shown = set(re.findall(r"^(?:\.venv/bin/)?lsec ([a-z-]+)", README.read_text(), re.MULTILINE))
    assert shown <= commands


def test_it_says_which_commands_work_on_the_server_itself() -> None:
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - as above
    on_server = {name for name, each in commands.items() if each.rich_help_panel == "Server"}
    sentence = re.search(r"`LSEC_API_KEY`; ([^.]*) work on the server itself\.", README.read_text())
    assert sentence is not None
    assert set(re.findall(r"`([a-z-]+)`", sentence[1])) == on_server | {"keys", "evaluate", "tune"}
    assert "prune" in on_server


def test_each_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def write() -> None:
    """Write the generated parts anew."""
    text = README.read_text()
    for name, make in GENERATED.items():
        match = section(name, text)
        text = text[: match.start(2)] + make() + text[match.end(2) :]
    README.write_text(text)


if __name__ == "__main__":
    write()
