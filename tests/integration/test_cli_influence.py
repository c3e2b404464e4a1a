"""The influence commands against the real API: tables for people, JSON for machines, and plots."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from lsec.cli.main import app
from lsec.core.ledger import Scope
from tests.integration.influence_market import market
from tests.integration.ingest_stack import IngestStack
from tests.integration.test_api_influence_audience import audience_market
from tests.integration.test_api_influence_lift import WINDOW, lift_market
from tests.integration.test_api_influence_paper import paper_market
from tests.integration.test_api_influence_seeds import seeds_market

COMMANDS = (
    ("leaderboard",),
    ("attribution", "--window", "24h", "--model", "linear", "--model", "markov"),
    ("product-streamers", "cup"),
    ("spread", "cup", "--since", "2026-01-05"),
    ("funnel", "b1"),
    ("influencers", "u1"),
    ("paths", "u1", "cup"),
    ("audience", "ann", "--with", "bob"),
    ("seeds", "tea", "-k", "2", "--cost", "ann=2"),
)


class Influence:
    """Runs `lsec influence` as an analyst."""

    def __init__(self, url: str, key: str) -> None:
        self.environment = {"LSEC_URL": url, "LSEC_API_KEY": key, "COLUMNS": "200"}

    def __call__(self, *arguments: str | Path) -> Result:
        words = ["influence", *(str(each) for each in arguments)]
        return CliRunner().invoke(app, words, env=self.environment)


@pytest.fixture
def influence(api_url: str, keys: dict[Scope, str]) -> Influence:
    return Influence(api_url, keys[Scope.ANALYST])


def test_every_command_tells_people_and_machines_and_draws(
    influence: Influence, stack: IngestStack, tmp_path: Path
) -> None:
    stack.append(market())
    stack.drain()
    for command in COMMANDS:
        told = influence(*command)
        assert told.exit_code == 0, told.output
        assert "Bob" in told.stdout or command[0] in ("funnel", "paths", "audience"), told.stdout
        file = tmp_path / f"{command[0]}.svg"
        table = json.loads(influence(*command, "--json", "--plot", file).stdout)
        assert (table["query"], bool(table["rows"])) == (command[0], True)
        assert ElementTree.parse(file).getroot().tag.endswith("svg")


def test_a_lift_is_told_with_who_was_compared(
    influence: Influence, stack: IngestStack, tmp_path: Path
) -> None:
    stack.append(lift_market())
    stack.drain()
    command = ("lift", "ann", "--since", "2026-01-15", "--until", "2026-01-17", "--known", "1w")
    told = influence(*command)
    assert (told.exit_code, "num_exposed" in told.stdout) == (0, True), told.output
    answer = json.loads(influence(*command, "--json", "--plot", tmp_path / "lift.svg").stdout)
    assert answer["parameters"]["since"] == WINDOW["since"]
    assert answer["details"]["num_exposed"] == 60
    assert "placebo" in (tmp_path / "lift.svg").read_text()


def test_an_audience_is_told_with_what_there_is_to_know(
    influence: Influence, stack: IngestStack, tmp_path: Path
) -> None:
    stack.append(audience_market())
    stack.drain()
    week = ("--since", "2026-01-12", "--until", "2026-01-19")
    for arguments, shown in (
        (("--with", "bob"), "watchers"),
        (("--with", "bob", "--view", "buyers"), "loyal_to_first"),
        (("--view", "at_risk", *week), "pace"),
        (("--by", "embedding"), "Note: no release is active"),
        (("--of", "buyers", "--by", "cosine"), "Bob"),
    ):
        told = influence("audience", "ann", *arguments, "--plot", tmp_path / "audience.svg")
        assert (told.exit_code, shown in told.stdout) == (0, True), told.output
        assert ElementTree.parse(tmp_path / "audience.svg").getroot().tag.endswith("svg")


def test_seeds_are_told_with_their_bound(influence: Influence, stack: IngestStack) -> None:
    stack.append(seeds_market())
    stack.drain()
    command = ("seeds", "cup", "--budget", "3", "--cost", "ann=2", "--cost", "bob=0.5", "--default-cost", "1")
    told = influence(*command)
    assert (told.exit_code, "upper_bound" in told.stdout, "Bob" in told.stdout) == (0, True, True)
    answer = json.loads(influence(*command, "--json").stdout)
    assert answer["details"]["reach"] <= answer["details"]["upper_bound"]


def test_the_papers_table_is_told_and_drawn(influence: Influence, stack: IngestStack, tmp_path: Path) -> None:
    stack.append(paper_market())
    stack.drain()
    command = ("paper", "--since", "2026-01-12", "--until", "2026-01-19", "--plot", tmp_path / "paper.svg")
    told = influence(*command)
    assert (told.exit_code, "sold by 1 followed" in told.stdout) == (0, True), told.output
    assert "a product as popular" in (tmp_path / "paper.svg").read_text()


def test_the_next_page_is_told_and_taken(influence: Influence, stack: IngestStack) -> None:
    stack.append(market())
    stack.drain()
    command = ("attribution", "--window", "24h", "--limit", "1", "--model", "linear")
    first = influence(*command)
    cursor = first.stderr.partition("--cursor ")[2].strip()
    second = json.loads(influence(*command, "--cursor", cursor, "--json").stdout)
    assert [row["name"] for row in second["rows"]] == ["Ann"]
    assert "next" not in second or second["next"] is None
