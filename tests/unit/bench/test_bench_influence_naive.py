"""The influence benchmark tells an answer from another, and its seeds are those of plain greedy selection."""

import numpy as np
import pytest

from bench.influence_naive import NAIVE, check_same, naive_of
from bench.influence_seeds import greedy_gains
from lsec.influence.seeds import Reach, choose_seeds

ASK = {"streamer_id": "s1", "other_id": "s2"}
OVERLAP = [{"audience": "buyers", "users": 3, "jaccard": 0.25, "lift": None}]


def test_equal_answers_pass() -> None:
    near = [OVERLAP[0] | {"jaccard": 0.25 + 1e-9}]
    check_same("audience overlap", ASK, OVERLAP, near)


@pytest.mark.parametrize("changed", [{"users": 4}, {"jaccard": 0.26}, {"lift": 1.0}])
def test_another_answer_ends_the_benchmark_by_the_name_of_the_query(changed: dict[str, float]) -> None:
    with pytest.raises(SystemExit, match="audience overlap"):
        check_same("audience overlap", ASK, OVERLAP, [OVERLAP[0] | changed])


@pytest.mark.parametrize("name", ["audience overlap", "seeds", "paper"])
def test_a_row_too_few_ends_the_benchmark(name: str) -> None:
    with pytest.raises(SystemExit, match=name):
        check_same(name, ASK, OVERLAP, [])


def test_seeds_of_another_reach_end_the_benchmark() -> None:
    ours = [{"streamer_id": "s1", "marginal_reach": 2.0, "total_reach": 2.0}]
    check_same("seeds", ASK, ours, [{"marginal_reach": 2.0, "total_reach": 2.0}])
    with pytest.raises(SystemExit, match="seeds"):
        check_same("seeds", ASK, ours, [{"marginal_reach": 2.0, "total_reach": 2.5}])


def test_queries_of_one_route_share_a_naive_one_unless_they_have_their_own() -> None:
    assert naive_of("leaderboard of a day") is NAIVE["leaderboard"]
    assert naive_of("audience at risk") is not naive_of("audience overlap")


def test_plain_greedy_selection_reaches_what_the_platform_does() -> None:
    rng = np.random.default_rng(3)
    chances = np.where(rng.random((12, 80)) < 0.3, rng.random((12, 80)), 0)
    streamers, users = np.nonzero(chances)
    ours = choose_seeds(Reach(12, 80, streamers, users, chances[streamers, users]), max_seeds=6)
    reach = {
        streamer: {
            user: float(chances[streamer, user]) for user in np.flatnonzero(chances[streamer]).tolist()
        }
        for streamer in range(12)
    }
    assert greedy_gains(reach, 6) == pytest.approx(ours.marginal_reach.tolist())
