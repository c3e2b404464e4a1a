"""`lsec simulate`: its options reach the market, its truth and its pace, and what is wrong is named."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from graph_schema.events import Event
from lsec.cli.main import app
from lsec.cli.simulation import paced
from lsec.simulate import Market, simulate, true_influence

SMALL = ("--users", "20", "--products", "30", "--streamers", "3", "--days", "2")
MARKET = Market(num_users=20, num_products=30, num_streamers=3, num_days=2)


def lsec_simulate(*arguments: str | Path) -> Result:
    nothing = {"LSEC_URL": None, "LSEC_API_KEY": None, "COLUMNS": "200"}
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], env=nothing)


def test_the_options_make_the_market() -> None:
    result = lsec_simulate(
        *SMALL,
        "--seed",
        "3",
        "--start",
        "2026-01-05",
        "--influence",
        "2",
        "--confounding",
        "0",
        "--bots",
        "0.1",
    )
    assert result.exit_code == 0, result.output
    events = [msgspec.json.decode(line, type=Event) for line in result.stdout.splitlines()]
    expected = Market(
        seed=3,
        num_users=20,
        num_products=30,
        num_streamers=3,
        num_days=2,
        start_at=Market().start_at.replace(year=2026, month=1, day=5),
        influence=2.0,
        confounding=0.0,
        bots=0.1,
    )
    assert events == list(simulate(expected))


def test_the_truth_is_written_beside_the_events(tmp_path: Path) -> None:
    result = lsec_simulate(*SMALL, "--truth", tmp_path / "truth.json", "--out", tmp_path / "events.ndjson")
    assert result.exit_code == 0, result.output
    written = msgspec.json.decode((tmp_path / "truth.json").read_bytes())
    assert written.pop("market")["num_users"] == 20
    assert written == msgspec.json.decode(msgspec.json.encode(true_influence(MARKET).as_json()))
    assert (tmp_path / "events.ndjson").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--users", "0"), "--users"),
        (("--bots", "0.9"), "--bots"),
        (("--influence", "nan"), "--influence"),
        (("--start", "1990-01-01"), "--start"),
        (("--rate", "0"), "--rate"),
        (("--live", "--truth", "t.json"), "--truth"),
        (("--truth", "same", "--out", "same"), "--truth"),
        (("--send", "--out", "file"), "--out"),
    ],
)
def test_wrong_usage_names_the_option(arguments: tuple[str, ...], words: str) -> None:
    result = lsec_simulate(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("option", ["--truth", "--out"])
def test_a_file_that_cannot_be_written_is_named(option: str, tmp_path: Path) -> None:
    result = lsec_simulate(*SMALL, option, tmp_path / "nowhere" / "file")
    assert result.exit_code == 1
    assert "file cannot be written" in " ".join(result.stderr.split())


def test_sending_needs_a_key() -> None:
    result = lsec_simulate(*SMALL, "--send")
    assert result.exit_code == 1
    assert "LSEC_API_KEY" in result.stderr


def test_events_keep_to_the_rate_and_no_more_than_a_second_of_a_delay_is_made_up_for() -> None:
    now = 100.0
    flushed_at = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    moments = []
    events = paced(
        simulate(MARKET), 50.0, before_pause=lambda: flushed_at.append(now), clock=lambda: now, sleep=sleep
    )
    for number, _ in zip(range(300), events, strict=False):
        moments.append(now)
        if number == 99:
            now += 10.0
    assert moments[99] - moments[0] == pytest.approx(99 / 50)
    assert sum(moment == moments[100] for moment in moments) == pytest.approx(51, abs=1)
    assert moments[299] - moments[100] == pytest.approx((199 - 50) / 50, abs=0.03)
    assert len(flushed_at) == pytest.approx(300 - 51, abs=2)
