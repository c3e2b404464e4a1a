"""The gate of releases: whether a trained model may be published, by what its training measured.

Pure: figures and bounds in, a verdict out. The figures are those of the model that was not shown the held-out
purchases, on lists of users who have some: `workers.training.evaluation` and `workers.training.champion`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

MIN_SEGMENT_USERS = 30
"""A segment of fewer tells nothing for sure, and is not judged; nor are fewer users of the champion."""
USER_FIGURE, PRODUCT_FIGURE = "ndcg@10", "recall@10"
COVERAGE = "relative_coverage@20"

CheckName = Literal["held_out_users", "popularity", "champion", "coverage", "segments"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a model must reach: users to judge by, margin over popularity, coverage, drop of a segment.

    All but the number of users are shares.
    """

    min_users: int
    popularity_margin: float
    min_coverage: float
    max_segment_drop: float


@dataclass(frozen=True, slots=True)
class Check:
    """One bound and whether it was kept; `value` is None where there was nothing to judge."""

    name: CheckName
    value: float | None
    bound: float
    is_passed: bool
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name,
            "value": None if self.value is None else round(self.value, 6),
            "bound": self.bound,
            "is_passed": self.is_passed,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks; `judged_against` is the champion's release, None where it could not be compared."""

    judged_against: str | None
    checks: tuple[Check, ...]

    @property
    def is_passed(self) -> bool:
        """Whether all checks are."""
        return all(check.is_passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "is_passed": self.is_passed,
            "judged_against": self.judged_against,
            "checks": [check.to_dict() for check in self.checks],
        }


def lets_pass(gate: Mapping[str, Any]) -> bool:
    """Whether a release with this verdict may be published; {} is one that no gate has judged."""
    return not gate or bool(gate["is_passed"]) or "override" in gate


def failed_checks(gate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The checks of a verdict that are not passed."""
    return [check for check in gate["checks"] if not check["is_passed"]]


def overridden(gate: Mapping[str, Any], *, by: str, reason: str, at: datetime) -> dict[str, Any]:
    """The verdict with who passed it over, why and when."""
    return {**gate, "override": {"by": by, "reason": reason, "at": at.isoformat()}}


def judge(metrics: Mapping[str, Any], bounds: Bounds, *, champion: str | None = None) -> Verdict:
    """The verdict on a training's metrics; `champion` is the release that is served now, if any.

    A model is held against popularity first, which it must beat for sure: the interval of the difference is
    above 0. Against the champion it needs only not be worse for sure. With too few users nothing is sure, so
    that alone is no pass. A champion that cannot be compared, and a check without figures, are no failure;
    one that the training did not know is.
    """
    num_users = int(metrics.get("num_validation_users") or 0)
    users = _held_out_users(num_users, bounds)
    if not num_users:
        return Verdict(None, (users,))
    compared = metrics.get("over_champion") or {}
    release_id = compared["release_id"] if compared.get("num_users", 0) >= MIN_SEGMENT_USERS else None
    checks = (
        users,
        _popularity(metrics, num_users, bounds),
        _champion(compared, champion),
        _coverage(metrics, bounds),
        _segments(compared, bounds),
    )
    return Verdict(release_id, checks)


def _held_out_users(num: int, bounds: Bounds) -> Check:
    is_passed = num >= bounds.min_users
    detail = f"{num:,} {'user has' if num == 1 else 'users have'} held-out purchases"
    if not is_passed:
        detail += f", too few to judge a model by: it takes {bounds.min_users:,}; an admin can override this"
    return Check("held_out_users", num, bounds.min_users, is_passed, f"{detail}.")


def _popularity(metrics: Mapping[str, Any], num_users: int, bounds: Bounds) -> Check:
    difference = metrics["over_popularity"][USER_FIGURE]
    popular = metrics["popularity"]["candidates"][USER_FIGURE]
    margin = bounds.popularity_margin
    is_passed = difference["low"] > 0 and difference["difference"] >= margin * popular
    detail = (
        f"NDCG@10 is {_of(difference, popular)} popularity's {popular:.4f} for {num_users:,} users; "
        f"it must be above it for sure, and by {margin:.1%} or more."
    )
    value = difference["difference"] / popular if popular else None
    return Check("popularity", value, margin, is_passed, detail)


def _champion(compared: Mapping[str, Any], champion: str | None) -> Check:
    known = compared.get("release_id")
    if champion is not None and known != champion:
        detail = f"{champion} is served by now, and the training was held against {known or 'none'}."
        return Check("champion", None, 0.0, False, detail)
    if known is None:
        return Check("champion", None, 0.0, True, "There is no champion to compare with.")
    num_users = compared["num_users"]
    if num_users < MIN_SEGMENT_USERS:
        reason = compared.get(
            "reason", f"only {num_users} of its users have purchases held out that it can rank"
        )
        return Check("champion", None, 0.0, True, f"{known} cannot be compared: {reason}.")
    difference, its = compared["difference"][USER_FIGURE], compared["champion"][USER_FIGURE]
    detail = (
        f"NDCG@10 is {_of(difference, its)} the {its:.4f} of {known} for {num_users:,} users; "
        "it must not be below it for sure."
    )
    return Check("champion", difference["difference"], 0.0, difference["high"] >= 0, detail)


def _coverage(metrics: Mapping[str, Any], bounds: Bounds) -> Check:
    bound = bounds.min_coverage
    value = (metrics.get("beyond_accuracy") or {}).get(COVERAGE)
    if value is None:
        return Check("coverage", None, bound, True, "No products were listed, so there is no coverage.")
    detail = f"The lists show {value:.1%} of the products that they could; it must be {bound:.1%} or more."
    return Check("coverage", value, bound, value >= bound, detail)


def _segments(compared: Mapping[str, Any], bounds: Bounds) -> Check:
    """The worst change of a segment relative to the champion; a drop counts where it is sure."""
    bound = bounds.max_segment_drop
    segments = list(_judged_segments(compared))
    if not segments:
        detail = f"No segment of {MIN_SEGMENT_USERS} users or more could be compared with a champion."
        return Check("segments", None, -bound, True, detail)
    failed = [(change, text) for change, is_sure, text in segments if is_sure and -change > bound]
    worst, text = min(failed or [(change, text) for change, _, text in segments])
    detail = f"{'' if failed else 'At worst, '}{text}; none may drop by more than {bound:.1%} for sure."
    if len(failed) > 1:
        detail += f" So do {len(failed) - 1} more."
    return Check("segments", worst, -bound, not failed, detail)


def _judged_segments(compared: Mapping[str, Any]) -> Iterator[tuple[float, bool, str]]:
    """Each segment's change relative to the champion, whether it is below 0 for sure, and both in words."""
    figures = {"users": (USER_FIGURE, "NDCG@10"), "products": (PRODUCT_FIGURE, "Recall@10")}
    for kind, (figure, title) in figures.items():
        for name, segment in compared.get("segments", {}).get(kind, {}).items():
            champion = segment.get("champion", {}).get(figure)
            if segment["num_users"] < MIN_SEGMENT_USERS or not champion:
                continue
            difference = segment["difference"][figure]
            text = f"{title} of {name} {kind} is {_of(difference, champion)} the champion's {champion:.4f}"
            yield difference["difference"] / champion, difference["high"] < 0, text


def _of(difference: Mapping[str, float], base: float) -> str:
    """The difference in words: how much above or below what, with its interval."""
    change = difference["difference"]
    share = f" ({change / base:+.1%})" if base else ""
    interval = f"95 % interval {difference['low']:+.4f} to {difference['high']:+.4f}"
    return f"{change:+.4f}{share}, {interval}, against"
