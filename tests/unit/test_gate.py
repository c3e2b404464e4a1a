"""The gate's checks at their bounds, and what a verdict says."""

import json
from typing import Any

import pytest

from lsec.core.gate import MIN_SEGMENT_USERS, Bounds, Verdict, judge

BOUNDS = Bounds(min_users=50, popularity_margin=0.05, min_coverage=0.1, max_segment_drop=0.2)


def difference(mean: float, low: float, high: float) -> dict[str, float]:
    return {"difference": mean, "low": low, "high": high, "p": 0.01}


def segment(num_users: int, change: float, high: float, *, figure: str = "ndcg@10") -> dict[str, Any]:
    """A segment in which the champion has 0.5."""
    return {
        "num_users": num_users,
        "candidate": {figure: 0.5 + change},
        "champion": {figure: 0.5},
        "difference": {figure: difference(change, change - 0.1, high)},
    }


def metrics(**changes: Any) -> dict[str, Any]:
    """Those of a model that passes every check."""
    return {
        "num_validation_users": 50,
        "popularity": {"candidates": {"ndcg@10": 0.25}},
        "over_popularity": {"ndcg@10": difference(0.1, 0.05, 0.15)},
        "beyond_accuracy": {"relative_coverage@20": 0.5},
        "over_champion": champion(),
    } | changes


def champion(num_users: int = 40, **changes: Any) -> dict[str, Any]:
    return {
        "release_id": "rel_1",
        "num_users": num_users,
        "candidate": {"ndcg@10": 0.31},
        "champion": {"ndcg@10": 0.3},
        "difference": {"ndcg@10": difference(0.01, -0.01, 0.03)},
        "segments": {
            "users": {"new": segment(35, 0.02, 0.06), "heavy": segment(3, -0.4, -0.3)},
            "products": {"tail": segment(33, 0.01, 0.04, figure="recall@10")},
        },
    } | changes


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.is_passed]


def users(**segments: dict[str, Any]) -> dict[str, Any]:
    return champion(segments={"users": segments, "products": {}})


def test_a_model_that_keeps_all_bounds_passes() -> None:
    verdict = judge(metrics(), BOUNDS, champion="rel_1")
    assert verdict.is_passed
    assert verdict.judged_against == "rel_1"
    assert [check.name for check in verdict.checks] == [
        "held_out_users", "popularity", "champion", "coverage", "segments",
    ]  # fmt: skip
    written = verdict.to_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_validation_users": 50}, []),
        ({"num_validation_users": 49}, ["held_out_users"]),
        # The margin is a twentieth of popularity's 0.25, 0.0125.
        ({"over_popularity": {"ndcg@10": difference(0.0125, 0.001, 0.02)}}, []),
        ({"over_popularity": {"ndcg@10": difference(0.0124, 0.001, 0.02)}}, ["popularity"]),
        ({"over_popularity": {"ndcg@10": difference(0.1, 0.0, 0.2)}}, ["popularity"]),
        ({"over_popularity": {"ndcg@10": difference(-0.1, -0.2, -0.05)}}, ["popularity"]),
        ({"beyond_accuracy": {"relative_coverage@20": 0.1}}, []),
        ({"beyond_accuracy": {"relative_coverage@20": 0.0999}}, ["coverage"]),
        ({"over_champion": champion(difference={"ndcg@10": difference(-0.01, -0.02, 0.0)})}, []),
        ({"over_champion": champion(difference={"ndcg@10": difference(-0.01, -0.02, -0.001)})}, ["champion"]),
        # A fifth of the champion's 0.5 is 0.1.
        ({"over_champion": users(new=segment(30, -0.1, -0.01))}, []),
        ({"over_champion": users(new=segment(30, -0.11, -0.01))}, ["segments"]),
        ({"over_champion": users(new=segment(30, -0.4, 0.0))}, []),
        ({"over_champion": users(new=segment(29, -0.4, -0.2))}, []),
        ({"over_champion": users(new=segment(30, -0.4, -0.2), heavy=segment(30, 0.4, 0.5))}, ["segments"]),
    ],
)  # fmt: skip
def test_each_check_fails_past_its_bound_and_not_at_it(changes: dict[str, Any], expected: list[str]) -> None:
    verdict = judge(metrics(**changes), BOUNDS, champion="rel_1")
    assert failed(verdict) == expected
    assert verdict.is_passed == (not expected)


def test_a_drop_of_products_counts_like_one_of_users() -> None:
    tail = segment(30, -0.2, -0.1, figure="recall@10")
    compared = champion(segments={"users": {}, "products": {"tail": tail}})
    [check] = [c for c in judge(metrics(over_champion=compared), BOUNDS).checks if not c.is_passed]
    assert check.value == pytest.approx(-0.4)
    assert check.detail == (
        "Recall@10 of tail products is -0.2000 (-40.0%), 95 % interval -0.3000 to -0.1000, against the "
        "champion's 0.5000; none may drop by more than 20.0% for sure."
    )


def test_the_worst_of_several_drops_is_named_and_the_others_are_counted() -> None:
    compared = users(new=segment(30, -0.2, -0.1), light=segment(90, -0.3, -0.2), heavy=segment(30, 0.1, 0.2))
    check = judge(metrics(over_champion=compared), BOUNDS).checks[-1]
    assert check.value == pytest.approx(-0.6)
    assert "light users" in check.detail
    assert check.detail.endswith("So do 1 more.")


def test_too_few_users_are_told_by_their_number_with_the_way_out() -> None:
    check = judge(metrics(num_validation_users=7), BOUNDS).checks[0]
    assert (check.value, check.bound) == (7, 50)
    assert check.detail == (
        "7 users have held-out purchases, too few to judge a model by: it takes 50; an admin "
        "can override this."
    )


@pytest.mark.parametrize("nothing", [{}, {"num_validation_users": 0, "stopped_because": "no purchases"}])
def test_without_held_out_users_nothing_else_is_judged(nothing: dict[str, Any]) -> None:
    verdict = judge(nothing, BOUNDS, champion="rel_1")
    assert failed(verdict) == ["held_out_users"]
    assert len(verdict.checks) == 1


def test_the_first_release_needs_no_champion() -> None:
    verdict = judge(metrics(over_champion=None), BOUNDS)
    assert verdict.is_passed
    assert verdict.judged_against is None
    assert verdict.checks[2].detail == "There is no champion to compare with."


@pytest.mark.parametrize(
    ("compared", "reason"),
    [
        ({"release_id": "rel_1", "num_users": 0, "reason": "its scores are a network's"}, "are a network's."),
        (champion(MIN_SEGMENT_USERS - 1, difference={"ndcg@10": difference(-0.2, -0.3, -0.1)}), "only 29 of"),
    ],
)
def test_a_champion_that_cannot_be_compared_does_not_reject(compared: dict[str, Any], reason: str) -> None:
    verdict = judge(metrics(over_champion=compared), BOUNDS, champion="rel_1")
    assert verdict.is_passed
    assert verdict.judged_against is None
    assert verdict.checks[2].detail.startswith("rel_1 cannot be compared: ")
    assert reason in verdict.checks[2].detail


@pytest.mark.parametrize("compared", [None, champion()])
def test_a_champion_that_came_during_the_training_rejects(compared: dict[str, Any] | None) -> None:
    verdict = judge(metrics(over_champion=compared), BOUNDS, champion="rel_2")
    assert failed(verdict) == ["champion"]
    assert "rel_2 is served by now" in verdict.checks[2].detail


def test_popularity_without_a_single_hit_is_beaten_by_any_sure_gain() -> None:
    changes = {"popularity": {"candidates": {"ndcg@10": 0.0}}}
    check = judge(metrics(**changes), BOUNDS).checks[1]
    assert check.is_passed
    assert check.value is None
