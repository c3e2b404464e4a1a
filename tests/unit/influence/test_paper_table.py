"""The paper's table: what its rows say, and of which products."""

import numpy as np
import pytest

from lsec.influence.paper import Tripartite, catalogue_shares, purchase_probabilities
from lsec.influence.paper_table import RATIO, SHARE, paper_table, restricted


def graph(seed: int = 0) -> Tripartite:
    rng = np.random.default_rng(seed)

    def pairs(sources: int, targets: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        found = np.nonzero(rng.random((sources, targets)) < share)
        return found[0].astype(np.int64), found[1].astype(np.int64)

    return Tripartite(
        num_users=40,
        num_streamers=5,
        num_products=30,
        follows=pairs(40, 5, 0.3),
        sells=pairs(5, 30, 0.3),
        before=pairs(40, 30, 0.1),
        after=pairs(40, 30, 0.1),
    )


def test_the_rows_are_the_shares_and_then_the_ratios() -> None:
    rows = paper_table(graph(), max_followed_sellers=2)
    shares, probabilities = catalogue_shares(graph()), purchase_probabilities(graph(), max_followed_sellers=2)
    assert [(row.measure, row.of) for row in rows] == [
        (SHARE, "purchases"),
        (SHARE, "a product as popular"),
        (SHARE, "a user who follows as many"),
        (SHARE, "a product at random"),
        (RATIO, "sold by no streamer"),
        (RATIO, "sold by 0 followed"),
        (RATIO, "sold by 1 followed"),
        (RATIO, "sold by 2 or more followed"),
    ]
    assert (rows[1].value, rows[1].low) == (shares.popular_product.mean, shares.popular_product.low)
    assert [row.num_pairs for row in rows[4:]] == [each.num_pairs for each in probabilities]
    assert [row.value for row in rows[4:]] == [each.ratio.mean for each in probabilities]
    assert rows[6].value == pytest.approx((rows[6].probability or 0) / (rows[6].expected or 1))


def test_rows_of_few_purchases_are_left_out() -> None:
    whole = paper_table(graph())
    most = sorted(row.num_purchases for row in whole if row.measure == RATIO)[-2]
    kept = paper_table(graph(), min_purchases=most)
    assert kept == [row for row in whole if row.num_purchases >= most]
    assert 0 < len(kept) < len(whole)


def test_a_table_of_some_products_is_that_of_a_graph_without_the_others() -> None:
    whole, products = graph(), np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29])
    part = restricted(whole, products)
    assert part.num_products == len(products)
    for ours, theirs in ((part.sells, whole.sells), (part.before, whole.before), (part.after, whole.after)):
        expected = [(s, t) for s, t in zip(*map(np.ndarray.tolist, theirs), strict=True) if t in products]
        assert list(zip(ours[0].tolist(), products[ours[1]].tolist(), strict=True)) == expected
    everything = restricted(whole, np.arange(30))
    assert paper_table(everything, max_followed_sellers=2) == paper_table(whole, max_followed_sellers=2)
