"""The models of attribution, spelled out: purchase by purchase, and a chain solved again for each removal."""

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

import numpy as np

from lsec.influence.attribution import NOBODY, Model
from lsec.influence.paths import IN_STREAM, Window
from lsec.influence.rows import Purchases, Touches
from tests.unit.influence.touch_rows import path_of

HALF_LIFE = timedelta(hours=5)


def expected_credits(
    bought: Purchases, touched: Touches, row: int, window: Window, effects: dict[int, float]
) -> dict[Model, dict[int, float]]:
    """Credit by model and streamer for one purchase, with time decay's HALF_LIFE."""
    path = path_of(bought, touched, row, window)
    if not path:
        return {model: {NOBODY: 1.0} for model in Model}
    num, streamers = len(path), [int(touched.streamer[t]) for t in path]
    ages = [int(bought.at[row] - touched.at[t]) / (HALF_LIFE / timedelta(milliseconds=1)) for t in path]
    of_effect = {s: effects.get(s, 0.0) for s in streamers}
    shares = {
        Model.FIRST_TOUCH: [1.0] + [0.0] * (num - 1),
        Model.LAST_TOUCH: [0.0] * (num - 1) + [1.0],
        Model.LINEAR: [1.0] * num,
        Model.TIME_DECAY: [0.5**age for age in ages],
        Model.POSITION_BASED: [1.0] * num if num <= 2 else [0.4, *[0.2 / (num - 2)] * (num - 2), 0.4],
        Model.MARKOV: [of_effect[s] / streamers.count(s) for s in streamers],
    }
    if not any(of_effect.values()):
        shares[Model.MARKOV] = shares[Model.LINEAR]
    credits: dict[Model, dict[int, float]] = {model: defaultdict(float) for model in Model}
    for model, weights in shares.items():
        for s, weight in zip(streamers, weights, strict=True):
            credits[model][s] += weight / sum(weights)
    return credits


def all_paths(bought: Purchases, touched: Touches, window: Window) -> tuple[list[list[int]], list[list[int]]]:
    """The streamers on the paths that end in a purchase, and on those that end in none."""
    converting = [path_of(bought, touched, row, window) for row in range(len(bought))]
    on_path = {t for path in converting for t in path}
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for t in range(len(touched)):
        if t not in on_path and touched.streamer[t] >= 0:
            if window == IN_STREAM and touched.stream[t] >= 0:
                groups[int(touched.user[t]), int(touched.stream[t])].append(t)
            elif window != IN_STREAM:
                groups[int(touched.user[t]), 0].append(t)
    null: list[list[int]] = []
    for group in groups.values():
        group.sort(key=lambda t: (touched.at[t], touched.kind[t], touched.streamer[t]))
        until = touched.at[group[-1]]
        while group:
            since = -(2**62) if window == IN_STREAM else until - window / timedelta(milliseconds=1)
            null.append([t for t in group if touched.at[t] > since])
            group = [t for t in group if touched.at[t] <= since]
            until = since
    return (
        [[int(touched.streamer[t]) for t in path] for path in converting if path],
        [[int(touched.streamer[t]) for t in path] for path in null if path],
    )


def conversion_rate(
    converting: list[list[int]], null: list[list[int]], *, without: int | None = None
) -> float:
    """The probability that the order-1 chain converts, when all that come to `without` go to null."""
    states = sorted({s for path in converting + null for s in path})
    place = {s: i + 1 for i, s in enumerate(states)}
    num = len(states) + 1
    counts = np.zeros((num, num + 2))
    for paths, end in ((converting, num), (null, num + 1)):
        for path in paths:
            visits = [0, *(place[s] for s in path), end]
            for a, b in pairwise(visits):
                counts[a, b] += 1
    chain = counts / counts.sum(axis=1, keepdims=True)
    if without is not None:
        chain[:, num + 1] += chain[:, place[without]]
        chain[:, place[without]] = 0
    return float(np.linalg.solve(np.eye(num) - chain[:, :num], chain[:, num])[0])


def expected_effects(converting: list[list[int]], null: list[list[int]]) -> dict[int, float]:
    """The removal effect of each streamer on the paths."""
    streamers = {s for path in converting + null for s in path}
    if not converting:
        return dict.fromkeys(streamers, 0.0)
    rate = conversion_rate(converting, null)
    return {s: 1 - conversion_rate(converting, null, without=s) / rate for s in streamers}
