"""What `lsec live` prints of a feed."""

import msgspec
from typer.testing import CliRunner, Result

from lsec.cli.main import app
from tests.unit.client.conftest import MoodyApi


def live(api: MoodyApi, *arguments: str) -> Result:
    """Runs the command until the feed refuses."""
    env = {"LSEC_URL": api.url, "LSEC_API_KEY": "lsec_x", "COLUMNS": "200"}
    return CliRunner().invoke(app, ["live", *arguments], env=env)


def test_each_event_is_a_line_with_its_ids_as_they_are_and_gaps_are_told_apart(api: MoodyApi) -> None:
    result = live(api)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["2026-01-01T00:00:00Z", name, "user", "u1", "product", "p[1]", "amount=5"]
        for name in ("user.bought", "user.viewed")
    ]
    assert "2 events are missing here: Trimmed." in result.stderr


def test_as_json_each_line_is_an_event_and_the_last_the_error(api: MoodyApi) -> None:
    result = live(api, "--json", "--type", "user.bought", "--resume", "0:0-0.0")
    lines = [msgspec.json.decode(line) for line in result.stdout.splitlines()]
    assert [line["event_id"] for line in lines[:-1]] == ["e1", "e2"]
    assert lines[-1]["error"]["status"] == 403
    assert api.requests[0].query_params["last_event_id"] == "0:0-0.0"
