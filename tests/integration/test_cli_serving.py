"""Recommendations and what goes with them by the client and by the command line, from the real API."""

import json

import pytest
from typer.testing import CliRunner

from lsec.cli.main import app
from lsec.client import ApiError, Client
from lsec.client.serving_answers import SessionEvent
from tests.integration.vector_market import RELEASE, STREAMS, VectorMarket


def test_the_client_gives_typed_answers(market: VectorMarket) -> None:
    market.driver.execute_query(STREAMS)
    with Client(market.url, market.key) as client:
        one = client.recommendations("u14", k=3, category="c0", exclude=["p0"], diversity=0.5)
        assert {int(each.product_id[1:]) % 3 for each in one.products} == {0}
        assert "p0" not in {each.product_id for each in one.products}
        assert (one.products[0].source, one.degraded) == ("slate", ())
        assert one.products[0].reason is not None
        batch = client.recommendations_of_many(
            ["u14", "nobody"], k=3, category="c0", exclude=["p0"], diversity=0.5
        )
        assert batch.recommendations[0] == one
        assert batch.recommendations[1].source == "popular_in_category"
        seen = [
            SessionEvent(type="user.viewed", product_id="p7"),
            SessionEvent(type="user.watched", streamer_id="s1"),
        ]
        assert client.session_recommendations(seen, k=2).source == "folded_in"
        similar = client.similar_products("p3", k=3, category="c1", streamer_id="s2", exclude=["p7"])
        assert {int(each.product_id[1:]) % 15 for each in similar.products} == {7}
        streamers = client.streamers_to_follow("u4")
        [seller] = [each for each in streamers.streamers if each.streamer_id == "s4"]
        assert seller.reason is not None
        assert seller.reason.path is not None
        assert [(r.type, r.source, r.target) for r in seller.reason.path.relationships] == [
            ("BOUGHT", 0, 1),
            ("SELLS", 2, 1),
        ]
        assert len(client.product_audience("p3", k=5).users) == 5
        shown = client.showcase_next("live", k=2, exclude=["p1"], category="c0")
        assert (shown.num_present, shown.source) == (3, "present_audience")
        with pytest.raises(ApiError, match="ended at"):
            client.showcase_next("over")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("recommend", "u14", "-k", "3", "--category", "c0"), "slate"),
        (("recommend", "u4", "nobody", "--no-explain", "--diversity", "0.3"), "popular"),
        (("recommend", "--viewed", "p7", "--followed", "s1", "--streamer", "s1"), "visitor · folded_in"),
        (("similar", "p3", "--exclude", "p1", "--out-of-stock"), "like p3 · release rel_first"),
        (("streamers-for", "u4"), "Sells Name of p4, which you bought"),
        (("audience", "p3", "-k", "7"), "audience of p3 · release"),
        (("showcase-next", "live", "--present", "90"), "s1 in live · 4 present"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_the_command_line_tells_people_and_machines(
    market: VectorMarket, arguments: tuple[str, ...], told: str
) -> None:
    market.driver.execute_query(STREAMS)
    environment = {"LSEC_URL": market.url, "LSEC_API_KEY": market.key, "COLUMNS": "200"}
    shown = CliRunner().invoke(app, arguments, env=environment)
    assert (shown.exit_code, told in shown.stdout) == (0, True), shown.output
    for_machines = CliRunner().invoke(app, [*arguments, "--json"], env=environment)
    for line in for_machines.stdout.splitlines() if arguments[0] == "recommend" else [for_machines.stdout]:
        assert json.loads(line)["release_id"] == RELEASE


def test_recommend_asks_for_users_or_for_what_a_visitor_did() -> None:
    for arguments in (["recommend"], ["recommend", "u1", "--viewed", "p1"]):
        refused = CliRunner().invoke(app, arguments, env={"LSEC_API_KEY": "k"})
        assert (refused.exit_code, "what a visitor did" in refused.stderr) == (2, True)
