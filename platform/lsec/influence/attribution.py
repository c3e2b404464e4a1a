"""Attribution: the credit for each purchase, shared by several models over the streamers on its path."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lsec.influence.markov import RemovalEffects, effects_of_paths
from lsec.influence.paths import PathRows, TouchPaths, Window, path_rows, sorted_rows, touch_paths, window_ms
from lsec.influence.rows import Int64, Purchases, Touches

Float64 = NDArray[np.float64]
NOBODY = -1
"""The streamer of the purchases without a touch in the window."""


class Model(StrEnum):
    """How the credit for a purchase is shared over its path of n touches. Each repeat of a touch counts."""

    FIRST_TOUCH = "first_touch"  # all to the first
    LAST_TOUCH = "last_touch"  # all to the last
    LINEAR = "linear"  # 1/n each
    TIME_DECAY = "time_decay"  # in proportion to 2^(−age / half-life)
    POSITION_BASED = "position_based"  # 40 % first, 40 % last, 20 % over those between; of two, half each
    MARKOV = "markov"  # each streamer of the path once, in proportion to the removal effect


@dataclass(frozen=True, slots=True, eq=False)
class CreditTable:
    """Credit of R streamers under M models, side by side: NOBODY first, then those on any path, ascending.

    Purchases are counts, amounts minor units. Every column sums to all purchases, or to their amount.
    """

    models: tuple[Model, ...]
    streamer: Int64  # [R]
    net_purchases: Float64  # [R, M], of the purchases that were not refunded
    refunded_purchases: Float64  # [R, M], the credit that refunds took back
    net_amount: Float64  # [R, M]
    refunded_amount: Float64  # [R, M]

    @property
    def gross_purchases(self) -> Float64:
        return self.net_purchases + self.refunded_purchases

    @property
    def gross_amount(self) -> Float64:
        return self.net_amount + self.refunded_amount


@dataclass(frozen=True, slots=True, eq=False)
class PurchaseCredits:
    """Credits purchase by purchase: one row per purchase and streamer on its path, sorted by both.

    A purchase without a touch has one row, all of it NOBODY's. A purchase's credits sum to one in each model.
    """

    models: tuple[Model, ...]
    purchase: Int64  # [E], the row of the input
    streamer: Int64  # [E]
    credit: Float64  # [E, M]


def attribute(
    purchases: Purchases,
    touches: Touches,
    *,
    window: Window,
    models: Sequence[Model] = tuple(Model),
    half_life: timedelta = timedelta(days=1),
    effects: RemovalEffects | None = None,
) -> CreditTable:
    """The credit of every streamer for all purchases, by each of the models.

    The touches are those of all users: without `effects` the removal effects are estimated from the rows.
    A path whose streamers have no effect is shared as `LINEAR` does. InvalidInput if the window or the
    half-life is not positive.
    """
    sharing = _Sharing.of(purchases, touches, window, models, half_life, effects)
    paths = sharing.paths
    num_streamers = paths.num_streamers
    counts, amounts = np.zeros((2, len(sharing.models), 2 * (num_streamers + 1)))
    # Cells: NOBODY and the streamers, net, then the same of the refunded.
    refunded_cell = purchases.is_refunded.astype(np.int64) * (num_streamers + 1)
    untouched = paths.purchase[paths.stop == paths.start]
    _add(counts, amounts, refunded_cell[untouched], np.ones(len(untouched)), purchases.amount[untouched])
    on_path = np.zeros(num_streamers, dtype=np.int64)
    for rows in path_rows(paths):
        purchase = paths.purchase[rows.path][rows.row]
        streamer = paths.streamer[rows.touch]
        on_path += np.bincount(streamer, minlength=num_streamers)
        cell = refunded_cell[purchase] + 1 + streamer
        amount = purchases.amount[purchase]
        for m, model in enumerate(sharing.models):
            _add(counts[m : m + 1], amounts[m : m + 1], cell, sharing.weights(model, rows), amount)
    shown = np.concatenate([[0], 1 + np.flatnonzero(on_path)])
    net, refunded = shown, shown + num_streamers + 1
    return CreditTable(
        sharing.models,
        shown - 1,
        *(table[:, cells].T for table in (counts, amounts) for cells in (net, refunded)),
    )


def purchase_credits(
    purchases: Purchases,
    touches: Touches,
    *,
    window: Window,
    models: Sequence[Model] = tuple(Model),
    half_life: timedelta = timedelta(days=1),
    effects: RemovalEffects | None = None,
) -> PurchaseCredits:
    """The credits purchase by purchase, as `attribute` adds them up. Takes memory for every row.

    For the credits of a few purchases, give the `effects` that were estimated from all of them.
    """
    sharing = _Sharing.of(purchases, touches, window, models, half_life, effects)
    paths = sharing.paths
    untouched = paths.purchase[paths.stop == paths.start]
    purchase, streamer = [untouched], [np.full(len(untouched), NOBODY)]
    credit = [np.ones((len(untouched), len(sharing.models)))]
    for rows in path_rows(paths):
        pairs, pair = np.unique(
            rows.row * paths.num_streamers + paths.streamer[rows.touch], return_inverse=True
        )
        purchase.append(paths.purchase[rows.path][pairs // paths.num_streamers])
        streamer.append(pairs % paths.num_streamers)
        shares = [np.bincount(pair, weights=sharing.weights(model, rows)) for model in sharing.models]
        credit.append(np.stack(shares, axis=1) if shares else np.zeros((len(pairs), 0)))
    purchase_column, streamer_column = np.concatenate(purchase), np.concatenate(streamer)
    order = np.lexsort((streamer_column, purchase_column))
    return PurchaseCredits(
        sharing.models, purchase_column[order], streamer_column[order], np.concatenate(credit)[order]
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Sharing:
    """The paths, and what the models need beside them."""

    paths: TouchPaths
    models: tuple[Model, ...]
    half_life_ms: int
    effect: Float64  # [streamers]
    previous: Int64  # [T], the row of the touch before of the same streamer, -1 where none is

    @classmethod
    def of(
        cls,
        purchases: Purchases,
        touches: Touches,
        window: Window,
        models: Sequence[Model],
        half_life: timedelta,
        effects: RemovalEffects | None,
    ) -> "_Sharing":
        estimates = Model.MARKOV in models and effects is None
        paths = touch_paths(purchases, touches, window=window, buyers_only=not estimates)
        effect, previous = np.zeros(paths.num_streamers), paths.at[:0]
        if Model.MARKOV in models:
            effects = effects_of_paths(paths, window=window) if effects is None else effects
            effect = effects.of(np.arange(paths.num_streamers))
            previous = _previous_touches(paths.streamer)
        return cls(paths, tuple(models), window_ms(half_life), effect, previous)

    def weights(self, model: Model, rows: PathRows) -> Float64:
        """[E], the share of its purchase that each row gets."""
        num_touches = rows.length[rows.row]
        match model:
            case Model.FIRST_TOUCH:
                return np.where(rows.position == 0, 1.0, 0.0)
            case Model.LAST_TOUCH:
                return np.where(rows.position == num_touches - 1, 1.0, 0.0)
            case Model.LINEAR:
                return _share(np.ones(len(rows.row)), rows)
            case Model.TIME_DECAY:
                return self._decayed(rows)
            case Model.POSITION_BASED:
                return _by_position(rows.position, num_touches)
            case Model.MARKOV:
                return self._by_effect(rows)

    def _decayed(self, rows: PathRows) -> Float64:
        # Counted from the path's last touch: the factor cancels, and no path's weights vanish together.
        last_at = self.paths.at[self.paths.stop[rows.path] - 1]
        age = last_at[rows.row] - self.paths.at[rows.touch]
        return _share(np.exp2(-age / self.half_life_ms), rows)

    def _by_effect(self, rows: PathRows) -> Float64:
        is_first = self.previous[rows.touch] < self.paths.start[rows.path][rows.row]
        effect = np.where(is_first, self.effect[self.paths.streamer[rows.touch]], 0.0)
        has_effect = np.add.reduceat(effect, rows.first) > 0
        return _share(np.where(has_effect[rows.row], effect, 1.0), rows)


def _by_position(position: Int64, num_touches: Int64) -> Float64:
    is_end = (position == 0) | (position == num_touches - 1)
    between = 0.2 / np.maximum(num_touches - 2, 1)
    return np.where(num_touches <= 2, 1 / num_touches, np.where(is_end, 0.4, between))


def _share(weight: Float64, rows: PathRows) -> Float64:
    total = np.add.reduceat(weight, rows.first)
    share: Float64 = weight / total[rows.row]
    return share


def _previous_touches(streamer: Int64) -> Int64:
    order = sorted_rows(streamer, np.arange(len(streamer)))
    is_same = streamer[order][1:] == streamer[order][:-1]
    previous = np.full(len(order), -1)
    previous[order[1:][is_same]] = order[:-1][is_same]
    return previous


def _add(counts: Float64, amounts: Float64, cell: Int64, weight: Float64, amount: Int64) -> None:
    num_cells = counts.shape[1]
    counts += np.bincount(cell, weights=weight, minlength=num_cells)
    amounts += np.bincount(cell, weights=weight * amount, minlength=num_cells)
