"""Commands that ask a small API on a real port: what they send, and what they say of it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from typer.testing import CliRunner, Result

from lsec.cli.demo import show_influence
from lsec.cli.main import app
from lsec.client import Client
from lsec.client.serving_answers import Recommendation, Recommendations
from tests.unit.client.conftest import MoodyApi


def lsec(api: MoodyApi, *arguments: str | Path, stdin: str | bytes = "") -> Result:
    env = {"LSEC_URL": api.url, "LSEC_API_KEY": "lsec_x", "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin, env=env)


def lines(num: int) -> str:
    return "".join(f'{{"event_id":"e{n}"}}\n' for n in range(num))


def test_events_that_went_in_are_waited_for(api: MoodyApi) -> None:
    result = lsec(api, "ingest", "-", stdin=lines(3))
    assert result.exit_code == 0
    assert "3 accepted" in result.stdout
    assert "The graph holds them" in result.stdout
    assert api.lag_polls > 0


def test_when_nothing_was_taken_nothing_is_said_of_the_graph(api: MoodyApi) -> None:
    result = lsec(api, "ingest", "-", stdin="{}\n{broken\n")
    assert result.exit_code == 1
    assert "0 accepted" in result.stdout
    assert "The graph holds them" not in result.stdout
    assert api.lag_polls == 0


@pytest.mark.parametrize("stdin", ["", "\n \n", "[]"])
def test_an_input_without_events_is_called_so(api: MoodyApi, stdin: str) -> None:
    result = lsec(api, "ingest", "-", stdin=stdin)
    assert (result.exit_code, result.stdout) == (0, "There were no events, so none were sent.\n")
    assert api.requests == []


PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("packing", PACKERS)
def test_an_array_is_read_as_events_however_it_is_laid_out(
    api: MoodyApi, tmp_path: Path, packing: str
) -> None:
    text = b'\xef\xbb\xbf\n [{"event_id":"a"},\n{\n  "event_id":\n "b" }, {}\n]\n'
    name = f"events.json{packing}"
    (tmp_path / name).write_bytes(PACKERS[packing](text))
    result = lsec(api, "ingest", tmp_path / name, "--json")
    answer = msgspec.json.decode(result.stdout)
    assert api.seen_ids == ["a", "b"]
    assert (answer["sent"], answer["accepted"]) == (3, 2)
    bad = answer["rejected"][0]
    assert (bad["index"], bad["place"]) == (2, f"{tmp_path / name}, element 3")


def test_what_only_begins_like_an_array_is_refused_before_anything_is_sent(
    api: MoodyApi, tmp_path: Path
) -> None:
    (tmp_path / "good.ndjson").write_text(lines(2))
    (tmp_path / "bad.json").write_text('[{"event_id":"a"},')
    result = lsec(api, "ingest", tmp_path / "good.ndjson", tmp_path / "bad.json")
    assert result.exit_code == 1
    assert "bad.json begins with [ but is no JSON array" in result.stderr
    assert "NDJSON" in result.stderr
    assert api.requests == []


@pytest.mark.parametrize("packing", PACKERS)
def test_lines_of_several_packed_parts_are_one_file(api: MoodyApi, tmp_path: Path, packing: str) -> None:
    file = tmp_path / f"events.ndjson{packing}"
    pack = PACKERS[packing]
    file.write_bytes(pack(b'{"event_id":"a"}\n{"event_') + pack(b'id":"b"}\n\n{"event_id":"c"}'))
    assert lsec(api, "ingest", file).exit_code == 0
    assert api.seen_ids == ["a", "b", "c"]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_file_that_is_not_packed_as_it_says_is_named(api: MoodyApi, tmp_path: Path, packing: str) -> None:
    (tmp_path / f"events.ndjson{packing}").write_text(lines(2))
    result = lsec(api, "ingest", tmp_path / f"events.ndjson{packing}")
    assert result.exit_code == 1
    assert f"events.ndjson{packing} cannot be read" in result.stderr
    assert api.requests == []


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_packed_file_that_breaks_off_is_an_error(api: MoodyApi, tmp_path: Path, packing: str) -> None:
    file = tmp_path / f"events.ndjson{packing}"
    file.write_bytes(PACKERS[packing](lines(1000).encode())[:-2])
    result = lsec(api, "ingest", file, "--batch", "10")
    assert result.exit_code == 1
    assert f"events.ndjson{packing} cannot be read" in result.stderr


def test_rejected_events_are_written_with_the_reason_mended_and_sent_again(
    api: MoodyApi, tmp_path: Path
) -> None:
    file, rejects = tmp_path / "events.ndjson", tmp_path / "rejects.ndjson"
    file.write_text('{"event_id":"a"}\n{"id":"b"}\n{"event_id":"c}\n')
    result = lsec(api, "ingest", file, "--rejects", rejects)
    assert result.exit_code == 1
    assert "1 accepted, 0 duplicates, 2 rejected" in result.stdout
    found = [msgspec.json.decode(line) for line in rejects.read_bytes().splitlines()]
    reason = {"field": "event_id", "reason": "missing"}
    assert found == [
        {"place": f"{file}, line 2", **reason, "event": {"id": "b"}},
        {"place": f"{file}, line 3", **reason, "event": '{"event_id":"c}'},
    ]
    assert lsec(api, "ingest", rejects).exit_code == 1
    assert api.seen_ids == ["a"]
    rejects.write_text(rejects.read_text().replace('"id"', '"event_id"').replace('c}"', 'c\\"}"'))
    assert lsec(api, "ingest", rejects).exit_code == 0
    assert api.seen_ids == ["a", "b", "c"]


def test_rejected_events_are_not_written_over_the_file_that_is_read(api: MoodyApi, tmp_path: Path) -> None:
    (tmp_path / "rejects.ndjson").write_text(lines(1))
    result = lsec(api, "ingest", tmp_path / "rejects.ndjson", "--rejects", tmp_path / "rejects.ndjson")
    assert result.exit_code == 1
    assert (tmp_path / "rejects.ndjson").read_text() == lines(1)


def test_people_see_the_first_twenty_rejections_and_machines_all(api: MoodyApi) -> None:
    result = lsec(api, "ingest", "-", stdin="{}\n" * 50)
    assert "-, line 1: event_id: missing" in result.stderr
    assert result.stderr.count("missing") == 20
    assert "… and 30 more" in result.stderr
    answer = msgspec.json.decode(lsec(api, "ingest", "-", "--json", stdin="{}\n" * 50).stdout)
    assert [bad["index"] for bad in answer["rejected"]] == list(range(50))
    assert (answer["num_rejected"], answer["complete"]) == (50, True)


def test_a_backfill_waits_for_live_events_over_one_connection(api: MoodyApi, tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text(lines(9))
    api.lag_ages_s = [0.0, 6.0]
    api.answers_after_s = 0.02
    result = lsec(api, "ingest", tmp_path / "events.ndjson", "--backfill", "--batch", "3", "--no-wait")
    assert result.exit_code == 0
    assert api.lag_polls == 3
    assert api.most_at_once == 1


def test_a_folder_is_called_one(api: MoodyApi, tmp_path: Path) -> None:
    result = lsec(api, "ingest", tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path} is a folder." in result.stderr
    assert "import-lsec" in result.stderr


def test_the_index_and_the_place_of_a_rejection_mean_the_same_line(api: MoodyApi, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(lines(2))
    (tmp_path / "b.ndjson").write_text('\n\n{"event_id":"x"}\n\n{}\n')
    result = lsec(api, "ingest", tmp_path / "a.ndjson", tmp_path / "b.ndjson", "--json", "--batch", "2")
    (bad,) = msgspec.json.decode(result.stdout)["rejected"]
    assert result.exit_code == 1
    assert (bad["index"], bad["place"]) == (4, f"{tmp_path / 'b.ndjson'}, line 5")


def test_an_error_of_the_api_under_json_carries_its_status(api: MoodyApi) -> None:
    api.moods = ["refuse"]
    result = lsec(api, "ingest", "-", "--json", stdin=lines(1))
    assert result.exit_code == 1
    error = {"title": "Not allowed", "detail": "no", "remedy": "Ask for a key.", "status": 403}
    assert msgspec.json.decode(result.stdout) == {"error": error}
    assert "Not allowed: no" in result.stderr


def test_a_failed_training_names_its_log_once(api: MoodyApi) -> None:
    result = lsec(api, "train", "--follow", "trn_2")
    assert result.exit_code == 1
    assert "Training trn_2 failed: Its log is trainer.log." in result.stderr
    assert (result.stdout + result.stderr).count("trainer.log") == 1


def test_a_failed_training_as_json_is_one_document(api: MoodyApi) -> None:
    result = lsec(api, "train", "--follow", "trn_2", "--json")
    assert result.exit_code == 1
    assert msgspec.json.decode(result.stdout)["error"] == "Its log is trainer.log."


def test_without_streamers_in_purchases_the_demo_shows_who_sells_a_recommended_product(
    api: MoodyApi, capsys: pytest.CaptureFixture[str]
) -> None:
    products = [Recommendation(product_id=name) for name in ("p1", "p2", "p3")]
    with Client(api.url) as client:
        show_influence(client, [Recommendations(user_id="u", source="slate", products=products)])
    shown = capsys.readouterr().out
    assert "those who sell p2" in shown
    assert "product-streamers" in shown
    assert "s1" in shown


def test_all_dead_letters_are_replayed_however_many_there_are(api: MoodyApi) -> None:
    api.dead_letters = 2_500
    result = lsec(api, "dead-letters", "replay", "--all")
    assert result.stdout == "2,500 dead letters replayed; 0 are open.\n"
    assert "Replaying" in result.stderr
    api.dead_letters = 2_500
    limited = lsec(api, "dead-letters", "replay", "--all", "--limit", "10")
    assert "10 dead letters replayed; 2,490" in limited.stdout
    filtered = lsec(api, "dead-letters", "replay", "--shard", "0")
    assert "1,000 dead letters replayed; 1,490" in filtered.stdout


def test_dead_letters_that_are_refused_again_are_not_replayed_round_and_round(api: MoodyApi) -> None:
    api.dead_letters, api.sets_aside_again = 1_500, True
    result = lsec(api, "dead-letters", "replay", "--all")
    assert result.stdout == "1,500 dead letters replayed; 1,500 are open.\n"
