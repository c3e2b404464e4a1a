"""The lift of one streamer, from the rows of all: who is exposed, compared with whom, and what it added."""

from dataclasses import dataclass

from lsec.influence.exposure import Windows, exposure
from lsec.influence.lift import MIN_PER_OUTCOME, Lift, lift
from lsec.influence.rows import Int64, Purchases, Touches


@dataclass(frozen=True, slots=True, eq=False)
class StreamerLift:
    """The lift of the users who watched a streamer, and who could not be compared at all."""

    lift: Lift
    num_watched_before: int
    """Users left out because they watched the streamer just before, too."""
    num_unknown: int
    """Users left out because nothing is known of them from before."""


def streamer_lift(
    streamer: int,
    purchases: Purchases,
    touches: Touches,
    *,
    product_category: Int64,
    num_users: int,
    windows: Windows,
    min_per_outcome: int = MIN_PER_OUTCOME,
) -> StreamerLift:
    """The lift of a streamer; rows as `exposure` wants them. InvalidInput as of `exposure` and `lift`."""
    seen = exposure(
        streamer,
        purchases,
        touches,
        product_category=product_category,
        num_users=num_users,
        windows=windows,
    )
    found = lift(
        seen.is_exposed,
        seen.purchases,
        seen.placebo_purchases,
        seen.covariates,
        names=seen.names,
        min_per_outcome=min_per_outcome,
    )
    return StreamerLift(found, seen.num_watched_before, seen.num_unknown)
