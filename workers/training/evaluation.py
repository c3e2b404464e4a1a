"""What a selection run measures on its validation split, beside popularity on the same lists."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lsec.core.beyond_accuracy import beyond_accuracy
from lsec.core.comparison import mean_interval, paired_bootstrap
from lsec.core.metrics import Figures, RankedPositives, means, ranked_positives
from workers.training.data import Interactions, Rows
from workers.training.full_ranking import FullRanking, full_ranking
from workers.training.ranking import Ranker, Scorer
from workers.training.segments import (
    figures_by_user_segment,
    product_segments,
    recall_by_product_segment,
    user_segments,
)
from workers.training.validation import Validation

CANDIDATE_K = 10
FULL_RANKING_K = 20
NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How one ranker did on a validation split, by user: what means, intervals and comparisons come from."""

    users: Rows
    candidates: Figures
    full_ranking: Figures
    ranked: RankedPositives
    top: FullRanking

    def means(self) -> dict[str, dict[str, float]]:
        """Mean figures of both protocols."""
        return {"candidates": means(self.candidates), "full_ranking": means(self.full_ranking)}

    def intervals(self) -> dict[str, dict[str, list[float]]]:
        """The 95 % interval, low and high, of each mean; {} with a single user, who tells none."""
        return {"candidates": _intervals(self.candidates), "full_ranking": _intervals(self.full_ranking)}

    def chosen(self) -> Figures:
        """NDCG and Recall of either protocol at its one cutoff, of each of the users."""
        names = {f"{name}@{k}" for name in ("ndcg", "recall") for k in (CANDIDATE_K, FULL_RANKING_K)}
        both = self.candidates | self.full_ranking
        return {name: values for name, values in both.items() if name in names}


def evaluated(ranker: Ranker, validation: Validation) -> Evaluation:
    """Both protocols over the users of the validation lists."""
    lists, held_out = validation.lists, validation.held_out
    ranked = ranked_positives(lists, ranker.candidates(lists))
    listed = held_out[np.isin(held_out.sources, lists.users)]
    top = full_ranking(ranker, listed, validation.train.buys, k=FULL_RANKING_K)
    return Evaluation(lists.users, ranked.figures(), top.figures(cutoffs=(FULL_RANKING_K,)), ranked, top)


def popularity_scorer(data: Interactions) -> Scorer:
    """Scores every product by its place in the popular order, the same for all users."""
    bias = np.empty(data.num_products, np.float32)
    bias[data.popular_order()] = -np.arange(data.num_products)
    no_vectors = torch.zeros(data.num_users, 1), torch.zeros(data.num_products, 1)
    return Scorer(*no_vectors, torch.from_numpy(bias), temperature=1.0)


def selection_report(ranker: Ranker, validation: Validation) -> dict[str, Any]:
    """The model's figures with intervals and by segment, popularity's beside them, and over how many users.

    `over_popularity` is the paired difference to popularity on the same users; `num_unknown_held_out` are the
    purchases of a split by time that no model could have known.
    """
    ours = evaluated(ranker, validation)
    popular = evaluated(popularity_scorer(validation.train), validation)
    differences = paired_bootstrap(ours.chosen(), popular.chosen(), num_resamples=NUM_RESAMPLES)
    return ours.means() | {
        "popularity": popular.means(),
        "num_validation_users": len(validation.lists),
        "num_unknown_held_out": validation.num_unknown,
        "intervals": ours.intervals(),
        "over_popularity": {name: asdict(difference) for name, difference in differences.items()},
        "segments": segment_tables(ours, validation.train),
        "beyond_accuracy": beyond_accuracy(ours.top.top, validation.train.purchases(), k=FULL_RANKING_K),
    }


def segment_tables(evaluation: Evaluation, train: Interactions) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by segment of `users`, and of the held-out `products`."""
    recalls = {
        f"recall@{CANDIDATE_K}": partial(evaluation.ranked.recall, k=CANDIDATE_K),
        f"recall@{FULL_RANKING_K}": partial(evaluation.top.recall, k=FULL_RANKING_K),
    }
    return {
        "users": figures_by_user_segment(user_segments(train), evaluation.users, evaluation.chosen()),
        "products": recall_by_product_segment(product_segments(train), recalls),
    }


def _intervals(figures: Figures) -> dict[str, list[float]]:
    intervals = {name: mean_interval(values) for name, values in figures.items() if len(values) > 1}
    return {name: [interval.low, interval.high] for name, interval in intervals.items()}
