"""Seeds for a product against every set of candidates."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsec.core.errors import InvalidInput
from lsec.influence.product_seeds import ProductSeeds, product_seeds
from lsec.influence.rows import Bool, Int64, Touches, TouchKind
from lsec.influence.seeds import FOLLOW_REACH

NUM_STREAMERS, NUM_USERS, NUM_STREAMS = 6, 12, 10


def history(seed: int) -> tuple[Touches, tuple[Int64, Int64]]:
    """Visits to ten streams and follows, at random; stream n is of streamer n % 6, the last not listed."""
    rng = np.random.default_rng(seed)
    num_visits, num_follows = 30, 8
    stream = np.append(rng.integers(0, NUM_STREAMS, num_visits), np.full(num_follows, -1))
    streamer = np.where(stream >= 0, stream % NUM_STREAMERS, rng.integers(0, NUM_STREAMERS, len(stream)))
    touches = Touches(
        user=rng.integers(0, NUM_USERS, len(stream)),
        streamer=streamer,
        kind=np.repeat(np.array([TouchKind.WATCH, TouchKind.FOLLOW], np.int8), (num_visits, num_follows)),
        at=np.zeros(len(stream), np.int64),
        product=np.full(len(stream), -1),
        stream=stream,
    )
    streams = np.arange(NUM_STREAMS - 1)
    return touches, (streams % NUM_STREAMERS, streams)


def reach_probabilities(touches: Touches) -> dict[tuple[int, int], float]:
    """By streamer and user, from sets."""
    hosted = {s: {n for n in range(NUM_STREAMS - 1) if n % NUM_STREAMERS == s} for s in range(NUM_STREAMERS)}
    seen: dict[tuple[int, int], set[int]] = {}
    follows: set[tuple[int, int]] = set()
    for user, streamer, kind, stream in zip(
        touches.user.tolist(), touches.streamer.tolist(), touches.kind, touches.stream.tolist(), strict=True
    ):
        if kind == TouchKind.FOLLOW:
            follows.add((streamer, user))
        else:
            hosted[streamer].add(stream)
            seen.setdefault((streamer, user), set()).add(stream)
    return {
        pair: 1
        - (1 - FOLLOW_REACH * (pair in follows)) * (1 - len(seen.get(pair, ())) / (len(hosted[pair[0]]) + 1))
        for pair in follows | seen.keys()
    }


def chosen(seed: int, is_candidate: Bool, is_wanted: Bool, **how: int) -> ProductSeeds:
    touches, streams = history(seed)
    return product_seeds(
        touches,
        streams,
        is_candidate=is_candidate,
        is_wanted=is_wanted,
        costs=np.ones(NUM_STREAMERS),
        max_seeds=2,
        **how,
    )


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_seeds_are_within_their_guarantee_of_the_best_set_of_candidates(seed: int, min_audience: int) -> None:
    rng = np.random.default_rng(seed)
    is_candidate, is_wanted = rng.random(NUM_STREAMERS) < 0.7, rng.random(NUM_USERS) < 0.7
    probabilities = reach_probabilities(history(seed)[0])
    audience = {
        s: [u for u in range(NUM_USERS) if is_wanted[u] and (s, u) in probabilities]
        for s in range(NUM_STREAMERS)
    }
    candidates = [s for s in range(NUM_STREAMERS) if is_candidate[s] and len(audience[s]) >= min_audience]

    def reach(chosen_ones: tuple[int, ...]) -> float:
        missed = np.ones(NUM_USERS)
        for s in chosen_ones:
            for u in audience[s]:
                missed[u] *= 1 - probabilities[s, u]
        return float(np.sum(1 - missed))

    found = chosen(seed, is_candidate, is_wanted, min_audience=min_audience)
    best = max((reach(each) for each in combinations(candidates, min(2, len(candidates)))), default=0.0)
    assert found.num_candidates == len(candidates)
    assert set(found.streamers.tolist()) <= set(candidates)
    assert found.seeds.reach == pytest.approx(reach(tuple(found.streamers.tolist())))
    assert found.seeds.guarantee * best <= found.seeds.reach + 1e-9
    assert best <= found.seeds.upper_bound + 1e-9
    assert found.audiences.tolist() == [len(audience[s]) for s in found.streamers.tolist()]
    assert found.reach_alone.tolist() == pytest.approx([reach((s,)) for s in found.streamers.tolist()])


def test_without_candidates_or_anybody_to_reach_nobody_is_chosen() -> None:
    nobody, everybody = np.zeros(NUM_STREAMERS, np.bool_), np.ones(NUM_USERS, np.bool_)
    assert len(chosen(1, nobody, everybody).streamers) == 0
    assert len(chosen(1, ~nobody, ~everybody).streamers) == 0


def test_a_streamer_without_a_cost_is_refused() -> None:
    touches, streams = history(1)
    with pytest.raises(InvalidInput, match="cost"):
        product_seeds(
            touches,
            streams,
            is_candidate=np.ones(NUM_STREAMERS, np.bool_),
            is_wanted=np.ones(NUM_USERS, np.bool_),
            costs=np.zeros(NUM_STREAMERS),
            max_seeds=1,
        )
