"""The paper's table of a folder, which needs no API."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from lsec.cli.main import app

TRAIN = {
    "user": "user\n7\n8\n9\n",
    "item": "item\n1\n2\n3\n",
    "streamer": "streamer\n5\n",
    "user-item-buy": "user\titem\n9\t1\n9\t2\n9\t1\n",
    "user-streamer-follow": "user\tstreamer\n7\t5\n8\t5\n",
    "streamer-item-sell": "streamer\titem\n5\t1\n5\t3\n",
}
TEST = "user\titem\tvalue\n7\t1\t1\n7\t2\t1\n8\t3\t1\n8\t2\t0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, tables in (("train", TRAIN), ("test", {"user-item-buy": TEST})):
        (tmp_path / part).mkdir()
        for name, text in tables.items():
            (tmp_path / part / f"{name}.tsv").write_text(text)
    return tmp_path


def paper(*arguments: str | Path) -> Result:
    words = ["influence", "paper", *(str(each) for each in arguments)]
    return CliRunner().invoke(app, words, env={"LSEC_URL": None, "LSEC_API_KEY": None, "COLUMNS": "200"})


def test_a_folder_is_told_and_drawn(folder: Path) -> None:
    told = paper("--data", folder)
    assert (told.exit_code, "sold by 1 followed" in told.stdout) == (0, True), told.output
    answer = json.loads(paper("--data", folder, "--json", "--plot", folder / "paper.svg").stdout)
    rows = {row["of"]: row for row in answer["rows"]}
    # Two of three purchases are in the catalogue that both followers follow.
    assert rows["purchases"]["value"] == pytest.approx(2 / 3)
    assert (rows["sold by 1 followed"]["pairs"], rows["sold by 1 followed"]["purchases"]) == (4, 2)
    assert rows["sold by 0 followed"]["value"] is None
    assert answer["parameters"]["neighbours"] is None
    assert ElementTree.parse(folder / "paper.svg").getroot().tag.endswith("svg")


def test_what_is_missing_or_makes_no_sense_is_said(folder: Path) -> None:
    for arguments, expected in (
        ((), "--since and --until, or --data"),
        (("--data", folder, "--category", "c1"), "no categories"),
        (("--since", "2026-01-01", "--until", "2026-01-02"), "API key"),
    ):
        done = paper(*arguments)
        assert (done.exit_code, expected in done.stderr) == (1, True), done.output
    (folder / "test" / "user-item-buy.tsv").unlink()
    done = paper("--data", folder)
    assert (done.exit_code, "user-item-buy.tsv" in done.stderr) == (1, True)


def test_a_cost_that_is_none_is_refused_before_anything_is_asked() -> None:
    words = ["influence", "seeds", "product-1", "--cost", "streamer-3:5"]
    done = CliRunner().invoke(app, words, env={"LSEC_API_KEY": "k", "LSEC_URL": "http://127.0.0.1:9"})
    assert (done.exit_code, "is no ID=COST" in done.stderr) == (1, True)
