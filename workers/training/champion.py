"""The champion, the release that is served, held against a candidate on purchases that neither has seen.

Both rank the candidate's validation lists by the model that was not shown the held-out purchases. Which
these are is a rule of the two ids (`workers.training.pair_hash`), so the champion has not seen them either;
what it has seen nevertheless, since its rule was another, is left out, as are users and products that it does
not know.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from lsec.core.artifact import Artifact, Scoring, open_artifact
from lsec.core.comparison import paired_bootstrap
from lsec.core.errors import ArtifactError
from lsec.core.metrics import (
    CandidateLists,
    Figures,
    RankedPositives,
    candidate_lists,
    means,
    ranked_positives,
)
from lsec.core.selection_vectors import SelectionVectors, read_selection_vectors
from workers.training.data import Interactions, Rows
from workers.training.pair_hash import HeldOutRule
from workers.training.ranking import Ranker, Scorer
from workers.training.segments import product_segments, user_segments
from workers.training.selection_model import Kept, scorer_of, scores_as_kept
from workers.training.validation import Validation

K = 10
NUM_RESAMPLES = 2000
NETWORK: Scoring = "mlp"


@dataclass(frozen=True, slots=True)
class Champion:
    """An artifact, and what it keeps of its selection model, if anything."""

    artifact: Artifact
    selection: SelectionVectors | None

    @classmethod
    def open(cls, path: Path) -> Self:
        """The champion whose artifact is in this folder; ArtifactError if it cannot be read."""
        artifact = open_artifact(path)
        return cls(artifact, read_selection_vectors(path, artifact.manifest))

    @property
    def release_id(self) -> str:
        """Its release."""
        return self.artifact.manifest.release_id

    @property
    def held_out_rule(self) -> HeldOutRule | None:
        """By which its selection model was not shown a pair; None where no rule of the ids says so."""
        hyperparameters = self.artifact.manifest.hyperparameters
        share = hyperparameters.get("validation_share")
        is_random = hyperparameters.get("validation_split", "random") == "random"
        if (
            self.selection is None
            or not is_random
            or not isinstance(share, int | float)
            or not 0 <= share < 1
        ):
            return None
        return HeldOutRule(float(share))

    def rows_of(self, data: Interactions) -> tuple[Rows, Rows]:
        """Its rows of the data's users [U] and products [P], −1 for those that it does not know."""
        artifact = self.artifact
        return artifact.users.find(data.user_ids), artifact.products.find(data.product_ids)

    def scorer(self, users: Rows) -> Scorer:
        """Scores its own users[n], as 0 to n − 1, and all its products; it has not seen what it held out."""
        artifact, selection = self.artifact, self.selection
        vectors, products, bias = (
            (artifact.user_vectors, artifact.product_vectors, artifact.product_bias)
            if selection is None
            else (selection.users, selection.products, selection.bias)
        )
        tensors = (torch.from_numpy(np.array(array)) for array in (vectors[users], products, bias))
        return scorer_of(*tensors, temperature=artifact.manifest.temperature)


def over_champion(path: Path, ranker: Ranker, kept: Kept, validation: Validation) -> dict[str, Any]:
    """How much better the candidate's selection model ranks than the champion's, with segments.

    `candidate` and `champion` are means of NDCG@10 and Recall@10 over the same lists, and `difference` the
    first less the second with the interval of a paired bootstrap. Where nothing can be compared, `reason`
    says why, and `num_users` is 0.
    """
    try:
        champion = Champion.open(path)
    except ArtifactError as error:
        return _incomparable(path.name, f"its artifact cannot be read: {error.detail}")
    if champion.artifact.manifest.scoring == NETWORK:
        return _incomparable(champion.release_id, "its scores are a network's, which is not in its artifact")
    data = validation.train
    users, products = champion.rows_of(data)
    lists = _comparable(champion, validation, users, products)
    if not len(lists):
        return _incomparable(champion.release_id, "it knows no user with a held-out purchase new to it")
    return {
        "release_id": champion.release_id,
        "num_users": len(lists),
        "judged_by": "released vectors" if champion.selection is None else "selection model",
        **_compared(scores_as_kept(ranker, kept, lists), champion, lists, data, users, products),
    }


def _incomparable(release_id: str, reason: str) -> dict[str, Any]:
    return {"release_id": release_id, "num_users": 0, "reason": reason}


def _comparable(champion: Champion, validation: Validation, users: Rows, products: Rows) -> CandidateLists:
    """The validation lists without what the champion does not know or has seen; users with none left go."""
    lists = validation.lists
    rows, columns = np.nonzero(lists.is_valid & (users[lists.users] >= 0)[:, None])
    list_users, listed = lists.users[rows], lists.products[rows, columns]
    is_positive = lists.is_positive[rows, columns]
    is_kept = products[listed] >= 0
    positives = np.flatnonzero(is_positive & is_kept)
    has_seen = _has_seen(
        champion, validation.train, list_users[positives], listed[positives], users, products
    )
    is_kept[positives[has_seen]] = False
    return candidate_lists(list_users[is_kept], listed[is_kept], is_positive[is_kept])


def _has_seen(
    champion: Champion, data: Interactions, sources: Rows, targets: Rows, users: Rows, products: Rows
) -> NDArray[np.bool_]:
    """Whether the champion that scores learned from the pairs [N] of the data's rows."""
    artifact = champion.artifact
    wanted = np.unique(users[sources])
    bought = [artifact.bought(int(row)) for row in wanted]
    width = len(artifact.product_ids)
    known = np.repeat(wanted, [len(rows) for rows in bought]) * width
    known += np.concatenate([*bought, np.empty(0, np.int32)])
    has_seen: NDArray[np.bool_] = np.isin(users[sources] * width + products[targets], known)
    if rule := champion.held_out_rule:
        has_seen &= ~rule.holds_out(data.user_ids, data.product_ids, sources, targets)
    return has_seen


def _compared(
    scores: NDArray[np.float32],
    champion: Champion,
    lists: CandidateLists,
    data: Interactions,
    users: Rows,
    products: Rows,
) -> dict[str, Any]:
    theirs = CandidateLists(
        np.arange(len(lists)), np.where(lists.is_valid, products[lists.products], -1), lists.is_positive
    )
    ours = ranked_positives(lists, scores)
    champions = ranked_positives(lists, champion.scorer(users[lists.users]).candidates(theirs))
    return {
        **_difference(_chosen(ours), _chosen(champions)),
        "segments": {
            "users": _by_user_segment(_chosen(ours), _chosen(champions), data, lists.users),
            "products": _by_product_segment(ours, champions, data),
        },
    }


def _chosen(ranked: RankedPositives) -> Figures:
    figures = ranked.figures(cutoffs=(K,))
    return {name: figures[name] for name in (f"ndcg@{K}", f"recall@{K}")}


def _difference(ours: Figures, champions: Figures) -> dict[str, Any]:
    differences = paired_bootstrap(ours, champions, num_resamples=NUM_RESAMPLES)
    return {
        "candidate": means(ours),
        "champion": means(champions),
        "difference": {name: asdict(each) for name, each in differences.items()},
    }


def _by_user_segment(
    ours: Figures, champions: Figures, data: Interactions, users: Rows
) -> dict[str, dict[str, Any]]:
    """Each segment's `num_users` and comparison."""

    def where(figures: Figures, is_in: NDArray[np.bool_]) -> Figures:
        return {name: values[is_in] for name, values in figures.items()}

    masks = {name: is_in[users] for name, is_in in user_segments(data).items()}
    return {
        name: {"num_users": int(is_in.sum()), **_difference(where(ours, is_in), where(champions, is_in))}
        for name, is_in in masks.items()
    }


def _by_product_segment(
    ours: RankedPositives, champions: RankedPositives, data: Interactions
) -> dict[str, dict[str, Any]]:
    """Each segment's comparison of the recalls of its held-out products, over the users who have one."""
    table = {}
    for name, is_in in product_segments(data).items():
        recalls = [ranked.recall(is_in, k=K) for ranked in (ours, champions)]
        mine, its = ({f"recall@{K}": values[~np.isnan(values)]} for values in recalls)
        table[name] = {"num_users": len(mine[f"recall@{K}"]), **_difference(mine, its)}
    return table
