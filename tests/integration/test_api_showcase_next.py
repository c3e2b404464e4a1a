"""What a host should show next: what suits those who watch now."""

import numpy as np
import pytest

from tests.integration.vector_market import STREAMS, VectorMarket, by_score, ids


def test_what_to_show_next_suits_those_who_watch_now_and_was_not_shown_lately(market: VectorMarket) -> None:
    market.driver.execute_query(STREAMS)
    mean = market.scores()[[1, 2, 3]].mean(axis=0)
    true = by_score({f"p{row}": float(mean[row]) for row in range(40) if row % 5 == 1})
    found = market.get("/v1/streams/live/showcase-next", k=100)
    assert (found["streamer_id"], found["source"], found["num_present"]) == ("s1", "present_audience", 3)
    assert ids(found, "product") == [id_ for id_ in true if id_ != "p6"]
    assert found["products"][0]["score"] == pytest.approx(
        mean.max(where=np.arange(40) % 5 == 1, initial=-99), rel=1e-2
    )
    assert ids(market.get("/v1/streams/live/showcase-next", k=100, not_shown_minutes=0), "product") == true
    late = ids(market.get("/v1/streams/live/showcase-next", k=100, not_shown_minutes=300), "product")
    assert late == [id_ for id_ in true if id_ not in ("p6", "p11")]
    hour = market.get("/v1/streams/live/showcase-next", present_minutes=90)
    assert hour["num_present"] == 4
    only = market.get("/v1/streams/live/showcase-next", category="c0", exclude=["p21"])
    assert set(ids(only, "product")) == {"p36"}


def test_without_anybody_known_present_what_sells_most_is_shown_next(market: VectorMarket) -> None:
    market.driver.execute_query(STREAMS)
    found = market.get("/v1/streams/empty/showcase-next", k=100)
    assert (found["source"], found["num_present"]) == ("popular", 0)
    num_buyers = [int(market.artifact.degrees[int(id_[1:])]) for id_ in ids(found, "product")]
    assert len(num_buyers) == 8
    assert num_buyers == sorted(num_buyers, reverse=True)
    nobodys = market.get("/v1/streams/nobodys/showcase-next")
    assert (nobodys["streamer_id"], nobodys["source"], nobodys["products"]) == ("", "none", [])


def test_a_stream_that_has_ended_is_a_conflict_and_an_unknown_one_is_not_found(market: VectorMarket) -> None:
    market.driver.execute_query(STREAMS)
    over = market.client.get("/v1/streams/over/showcase-next")
    assert over.status_code == 409
    assert over.json()["detail"] == "Stream over ended at 2026-01-02T03:04:05Z."
    assert market.client.get("/v1/streams/none/showcase-next").status_code == 404
