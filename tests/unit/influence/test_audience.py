"""Audiences against sets counted one by one."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lsec.core.errors import InvalidInput
from lsec.influence.audience import (
    BuyerGroup,
    Measure,
    Watching,
    buyers,
    followers_at_risk,
    nearest_by_audience,
    nearest_by_embedding,
    overlap,
    pace_of,
)
from lsec.influence.rows import Purchases

seeds = st.integers(0, 10**6)


@settings(max_examples=50)
@given(seeds)
def test_an_overlap_equals_that_of_the_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 30, rng.integers(0, 25)), rng.integers(0, 30, rng.integers(1, 25))
    a, b = set(first.tolist()), set(second.tolist())
    found = overlap(first, second, num_users=30)
    assert (found.num_first, found.num_second, found.num_shared) == (len(a), len(b), len(a & b))
    assert found.jaccard == pytest.approx(len(a & b) / len(a | b))
    assert found.cosine == pytest.approx(len(a & b) / max(len(a) * len(b), 1) ** 0.5)
    if a:
        assert found.lift == pytest.approx(len(a & b) / (len(a) * len(b) / 30))


@settings(max_examples=50)
@given(seeds, st.sampled_from(["jaccard", "cosine"]), st.integers(1, 3))
@example(4748, "cosine", 1)
def test_the_nearest_by_audience_are_those_of_the_largest_similarity(
    seed: int, measure: Measure, min_shared: int
) -> None:
    rng = np.random.default_rng(seed)
    streamers, users = rng.integers(0, 8, 60), rng.integers(0, 25, 60)
    sets = [set(users[streamers == row].tolist()) for row in range(8)]
    own, similarity = sets[2], {}
    for row, other in enumerate(sets):
        shared = len(own & other)
        if row != 2 and shared >= min_shared:
            scale = len(own | other) if measure == "jaccard" else (len(own) * len(other)) ** 0.5
            similarity[row] = shared / scale
    found = nearest_by_audience(
        streamers,
        users,
        streamer=2,
        num_streamers=8,
        num_nearest=4,
        measure=measure,
        min_shared=min_shared,
    )
    expected = sorted(similarity, key=lambda row: (-round(similarity[row], 12), row))[:4]
    assert found.streamers.tolist() == expected
    assert found.similarities.tolist() == pytest.approx([similarity[row] for row in expected])
    assert found.num_shared.tolist() == [len(own & sets[row]) for row in expected]
    assert found.num_users.tolist() == [len(sets[row]) for row in expected]


def test_the_nearest_by_embedding_are_those_of_the_largest_cosine() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    vectors[7] = 0
    found = nearest_by_embedding(vectors, streamer=3, num_nearest=5)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = unit @ unit[3]
    expected = [row for row in np.argsort(-cosines).tolist() if row not in (3, 7)][:5]
    assert found.streamers.tolist() == expected
    np.testing.assert_allclose(found.similarities, cosines[expected], rtol=1e-5)
    assert len(nearest_by_embedding(vectors, streamer=7, num_nearest=5).streamers) == 0


def test_a_streamer_out_of_range_is_refused() -> None:
    nothing = np.empty(0, np.int64)
    with pytest.raises(InvalidInput, match="no streamer row 3"):
        nearest_by_audience(nothing, nothing, streamer=3, num_streamers=3, num_nearest=1)
    with pytest.raises(InvalidInput, match="no streamer row -1"):
        nearest_by_embedding(np.ones((3, 2)), streamer=-1, num_nearest=1)


def test_a_streamer_without_an_audience_has_no_nearest() -> None:
    nothing = np.empty(0, np.int64)
    found = nearest_by_audience(nothing, nothing, streamer=1, num_streamers=3, num_nearest=2)
    assert len(found.streamers) == 0


@settings(max_examples=50)
@given(seeds)
def test_buyers_are_parted_as_by_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num = int(rng.integers(0, 60))
    amount = rng.integers(1, 100, num)
    ones, user, streamer = np.ones(num, np.int64), rng.integers(0, 15, num), rng.integers(-1, 4, num)
    refunded = rng.random(num) < 0.2
    found = buyers(Purchases(user, ones, streamer, ones, ones, amount, ones, refunded), first=0, second=1)
    rows = [
        (u, s, a)
        for u, s, a, r in zip(user.tolist(), streamer.tolist(), amount.tolist(), refunded, strict=True)
        if not r and s >= 0
    ]
    of = {s: {u for u, t, _ in rows if t == s} for s in range(4)}

    def group(members: set[int]) -> BuyerGroup:
        theirs = [a for u, s, a in rows if u in members and s in (0, 1)]
        return BuyerGroup(len(members), len(theirs), sum(theirs))

    assert found.only_first == group(of[0] - of[1])
    assert found.only_second == group(of[1] - of[0])
    assert found.shared == group(of[0] & of[1])
    assert found.loyal_to_first == group(of[0] - of[1] - of[2] - of[3])
    assert found.loyal_to_second == group(of[1] - of[0] - of[2] - of[3])


def test_a_streamer_shares_no_buyers_with_itself() -> None:
    nothing = np.empty(0, np.int64)
    refunded = np.empty(0, np.bool_)
    purchases = Purchases(nothing, nothing, nothing, nothing, nothing, nothing, nothing, refunded)
    with pytest.raises(InvalidInput, match="same"):
        buyers(purchases, first=1, second=1)


@settings(max_examples=50)
@given(seeds, st.booleans())
def test_followers_at_risk_are_those_whose_watching_fell(seed: int, has_pace: bool) -> None:
    rng = np.random.default_rng(seed)
    follows = sorted({(int(u), int(s)) for u, s in rng.integers(0, 6, (20, 2))})
    users, streamers = np.array(follows).T
    who, whom = rng.integers(0, 6, (2, 150))
    watching = Watching(who, whom, rng.integers(0, 130, 150), rng.integers(0, 50, 150))
    pace = rng.random(6) if has_pace else None
    found = followers_at_risk(
        (users, streamers),
        watching,
        until=120,
        recent_ms=30,
        before_ms=60,
        min_seconds_before=40,
        max_share=0.6,
        pace=pace,
    )
    expected = []
    for user, streamer in follows:
        own = (watching.users == user) & (watching.streamers == streamer)
        before = int(watching.seconds[own & (watching.at >= 30) & (watching.at < 90)].sum())
        recent = int(watching.seconds[own & (watching.at >= 90) & (watching.at < 120)].sum())
        hoped = before / 2 * (1 if pace is None else float(pace[streamer]))
        if before >= 40 and recent <= 0.6 * hoped:
            expected.append((recent - hoped, streamer, user, before, recent))
    expected.sort()
    assert found.users.tolist() == [row[2] for row in expected]
    assert found.streamers.tolist() == [row[1] for row in expected]
    assert found.seconds_before.tolist() == [row[3] for row in expected]
    assert found.seconds_recent.tolist() == [row[4] for row in expected]
    assert (found.seconds_recent - found.seconds_expected).tolist() == pytest.approx(
        [row[0] for row in expected]
    )


def test_nobody_is_at_risk_without_followers_and_windows_are_checked() -> None:
    nothing = np.empty(0, np.int64)
    watching = Watching(nothing, nothing, nothing, nothing)
    found = followers_at_risk((nothing, nothing), watching, until=9, recent_ms=2, before_ms=4)
    assert len(found.users) == 0
    with pytest.raises(InvalidInput, match="window"):
        followers_at_risk((nothing, nothing), watching, until=9, recent_ms=0, before_ms=4)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        followers_at_risk((nothing, nothing), watching, until=9, recent_ms=2, before_ms=4, max_share=2)


def test_a_pace_is_the_change_in_live_time_per_time() -> None:
    # From 90 to 100 the streams last four, from 70 to 90 five; the last one is not over.
    streams = np.array([70, 85, 89, 98]), np.array([72, 87, 92, -1])
    assert pace_of(streams, until=100, recent_ms=10, before_ms=20) == pytest.approx((4 / 10) / (5 / 20))
    assert pace_of(streams, until=200, recent_ms=100, before_ms=20) == pytest.approx((100 / 100) / (7 / 20))
    assert pace_of(streams, until=70, recent_ms=10, before_ms=20) is None
    nothing = np.empty(0, np.int64)
    assert pace_of((nothing, nothing), until=100, recent_ms=10, before_ms=20) is None
    day = 86_400_000
    open_end = np.array([0, 9 * day]), np.array([-1, 9 * day + 1])
    # A stream that never ended is no longer than a day.
    assert pace_of(open_end, until=10 * day, recent_ms=5 * day, before_ms=5 * day) == pytest.approx(1 / day)
