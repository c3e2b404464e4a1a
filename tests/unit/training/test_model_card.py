"""The model card says what the manifest holds, whatever figures there are."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.artifact import ARTIFACT_VERSION, Manifest, Scoring
from workers.training.model_card import model_card


def manifest(metrics: dict[str, Any], *, scoring: Scoring = "cosine", scope: Any = None) -> Manifest:
    return Manifest(
        version=ARTIFACT_VERSION,
        release_id="rel_1",
        training_id="trn_1",
        model="het-gcn",
        scoring=scoring,
        temperature=0.25,
        seed=3,
        created_at="2026-01-01T00:00:00+00:00",
        hyperparameters={"layer_weights": [0.5, 1.0], "num_steps": 150},
        metrics=metrics,
        counts={"users": 61, "products": 47, "streamers": 5, "buys": 512},
        snapshot_sha256="ab" * 32,
        positions=[{"shard": 0, "seq": 7, "position": "7-0"}],
        scope=scope,
        files={},
    )


METRICS = {
    "candidates": {"ndcg@10": 0.47021, "mrr": 0.6},
    "full_ranking": {"recall@20": 0.28},
    "popularity": {"candidates": {"ndcg@10": 0.31, "mrr": 0.4}, "full_ranking": {"recall@20": 0.1}},
    "num_validation_users": 1234,
    "seconds": 12.5,
}


def test_both_protocols_stand_beside_popularity() -> None:
    lines = model_card(manifest(METRICS)).splitlines()
    assert "| protocol | figure | this model | popularity |" in lines
    assert "| candidate lists | ndcg@10 | 0.4702 | 0.31 |" in lines
    assert "| candidate lists | mrr | 0.6 | 0.4 |" in lines
    assert "| full ranking | recall@20 | 0.28 | 0.1 |" in lines
    assert "| num_validation_users | 1234 |" in lines


def test_it_says_what_it_was_trained_on_and_how() -> None:
    card = model_card(manifest(METRICS, scope={"categories": ["a|b"], "since": None}))
    for line in (
        "| users | 61 |",
        "| buys | 512 |",
        f"| SHA-256 of the snapshot | {'ab' * 32} |",
        '| up to these positions in the event log | [{"shard":0,"seq":7,"position":"7-0"}] |',
        r'| scope | {"categories":["a\|b"],"since":null} |',
        "| layer_weights | 0.5, 1 |",
        "| num_steps | 150 |",
        "| seed | 3 |",
    ):
        assert line in card.splitlines()
    assert "| scope |" not in model_card(manifest(METRICS))


def test_segments_are_a_table_of_their_own() -> None:
    users = {"new": {"mrr": 0.2, "num": 9}, "heavy": {"mrr": 0.4}}
    segments = {"users": users, "note": "by thirds"}
    card = model_card(manifest(METRICS | {"segments": segments}))
    assert "### segments\n\n| figure | value |\n| --- | --- |\n| note | by thirds |" in card
    rows = "|  | mrr | num |\n| --- | --- | --- |\n| new | 0.2 | 9 |\n| heavy | 0.4 | - |"
    assert f"### segments / users\n\n{rows}" in card


def test_the_comparison_with_the_champion_is_one_table() -> None:
    difference = {"ndcg@10": {"difference": 0.01, "low": -0.02, "high": 0.04, "p": 0.4}}
    means = {"candidate": {"ndcg@10": 0.31}, "champion": {"ndcg@10": 0.3}, "difference": difference}
    none = {"num_users": 0, "candidate": {}, "champion": {}, "difference": {}}
    segments = {"users": {"new": means | {"num_users": 7}, "heavy": none}, "products": {}}
    compared = {"release_id": "rel_9", "num_users": 90, **means, "segments": segments}
    card = model_card(manifest(METRICS | {"over_champion": compared}))
    rows = (
        "| over | users | figure | this model | champion | difference | from | to |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| all | 90 | ndcg@10 | 0.31 | 0.3 | 0.01 | -0.02 | 0.04 |",
        "| new users | 7 | ndcg@10 | 0.31 | 0.3 | 0.01 | -0.02 | 0.04 |",
    )
    table = "\n".join(rows)
    assert f"### Against the champion, rel_9\n\n{table}\n\n" in card
    gone = {"release_id": "rel_9", "num_users": 0, "reason": "it is gone"}
    assert "It cannot be compared: it is gone." in model_card(manifest(METRICS | {"over_champion": gone}))


def test_what_is_nested_in_a_protocol_is_not_lost() -> None:
    nested = {"candidates": {"ndcg@10": 0.4, "interval": {"ndcg@10": [0.3, 0.5]}}}
    card = model_card(manifest(nested | {"popularity": {"candidates": {"by": {"head": 0.125}}, "num": 77}}))
    assert "### candidates / interval\n\n| figure | value |\n| --- | --- |\n| ndcg@10 | 0.3, 0.5 |" in card
    assert "### popularity / candidates / by\n\n| figure | value |\n| --- | --- |\n| head | 0.125 |" in card
    assert "| num | 77 |" in card


def test_long_lists_are_told_by_their_length() -> None:
    card = model_card(manifest(METRICS | {"per_user": list(range(900, 950))}))
    assert "| per_user | 50 values |" in card
    assert "949" not in card


@pytest.mark.parametrize("metrics", [{}, {"candidates": {}}, {"popularity": None, "num_steps": 3}])
def test_without_figures_it_says_so(metrics: dict[str, Any]) -> None:
    assert "there are no figures" in model_card(manifest(metrics))


@pytest.mark.parametrize("scoring", ["cosine", "inner_product"])
def test_vectors_are_loaded_with_the_temperature(scoring: Scoring) -> None:
    assert '@ user / 0.25 + items["product_bias"]' in model_card(manifest(METRICS, scoring=scoring))


def test_a_network_is_said_to_be_away() -> None:
    card = model_card(manifest(METRICS, scoring="mlp"))
    assert "cannot be published" in card
    assert "user_vectors" not in card


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
NAMES = st.sampled_from(["candidates", "full_ranking", "popularity"]) | st.text(max_size=9)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_metrics_make_a_card_of_whole_tables(metrics: dict[str, Any]) -> None:
    """Every row of a table has as many cells as its head, also once the manifest was on the disk."""
    made = manifest(metrics)
    again = msgspec.json.decode(msgspec.json.encode(made), type=Manifest)
    for card in (model_card(made), model_card(again)):
        figures = card.split("## Figures")[1].split("## Hyperparameters")[0]
        width = math.nan
        for line in figures.strip().split("\n"):
            cells = line.replace(r"\|", "").count("|") if line.startswith("|") else math.nan
            assert math.isnan(cells) or math.isnan(width) or cells == width
            width = cells
