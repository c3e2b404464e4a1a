"""The floor counts what a step's products take, and the scaling says where memory ends."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from bench.floor import Machine, Work, fastest, floor_figures, measure_machine, work_of
from bench.fresh_process import MIB
from bench.gpu_profile import kind_of
from bench.scaling import (
    Line,
    fits,
    measure_scaling,
    memory_line,
    plot,
    rounded,
    scaling_figures,
    sentences,
    slope,
)
from bench.sparse_products import blocks, sparse_products
from bench.step import SHARES, measure, simulated_market, skewed
from workers.training.graph import incidence

CPU = torch.device("cpu")


def test_dense_products_count_by_precision() -> None:
    first, second, bias = torch.ones(3, 5), torch.ones(5, 7), torch.ones(7)

    def action() -> None:
        _ = first @ second
        torch.addmm(bias, first, second)
        torch.zeros(3, 7).addmm_(first, second)
        _ = first.bfloat16() @ second.bfloat16()

    work = work_of(action)
    assert work.dense_flop == {torch.float32: 3 * 2 * 3 * 5 * 7, torch.bfloat16: 2 * 3 * 5 * 7}
    assert work.sparse_bytes == 0


def test_products_of_the_gradient_count_too() -> None:
    first = torch.ones(3, 5, requires_grad=True)
    second = torch.ones(5, 7, requires_grad=True)

    def action() -> None:
        loss = (first @ second).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated

    assert work_of(action).dense_flop == {torch.float32: 3 * 2 * 3 * 5 * 7}


def test_a_sparse_product_moves_indices_weights_gathered_rows_and_output() -> None:
    rows, columns = np.array([0, 0, 2, 3]), np.array([1, 4, 0, 1])
    matrix = incidence(rows, columns, shape=(6, 5), device=CPU)
    dense = torch.ones(5, 8, requires_grad=True)
    one_way = 4 * (4 + 4) + 4 * 8 * 4 + 6 * 8 * 4
    assert work_of(lambda: matrix @ dense).sparse_bytes == one_way
    on_gpus = matrix.forward.with_csr()
    assert work_of(lambda: on_gpus.times(dense.detach())).sparse_bytes == one_way
    back = 4 * (4 + 4) + 4 * 8 * 4 + 5 * 8 * 4

    def action() -> None:
        loss = (matrix @ dense).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # likewise

    assert work_of(action).sparse_bytes == one_way + back


def test_the_floor_is_the_time_of_the_bytes_and_of_the_operations() -> None:
    work = Work(2_000_000_000, {torch.bfloat16: 3_000_000_000, torch.float32: 1_000_000_000})
    machine = Machine(10e9, {torch.bfloat16: 6e9, torch.float32: 2e9})
    figures = floor_figures(work, machine, step_seconds=2.0)
    assert figures["sparse_floor_ms"] == pytest.approx(200)
    assert figures["dense_floor_ms"] == pytest.approx(1000)
    assert figures["floor_share"] == pytest.approx(0.6)


def test_a_machine_has_a_bandwidth_and_a_rate_for_each_precision() -> None:
    machine = measure_machine({torch.float32, torch.bfloat16}, CPU, is_quick=True)
    assert machine.bandwidth > 1e8
    assert set(machine.matrix_rates) == {torch.float32, torch.bfloat16}
    assert min(machine.matrix_rates.values()) > 1e7


def test_the_fastest_of_a_few_runs_counts() -> None:
    spent = iter([3, 2, 1, 2, 3, 4])
    sizes: list[int] = []

    def action() -> None:
        sizes.append(next(spent))
        np.sort(np.random.default_rng(0).random(20_000 * sizes[-1] ** 2))

    seconds = fastest(action, CPU)
    assert sizes == [3, 2, 1, 2, 3, 4]
    assert seconds > 0


def test_a_simulated_market_is_skewed_distinct_and_the_same_each_time() -> None:
    market, again = simulated_market(40_000), simulated_market(40_000)
    assert np.array_equal(market.buys.targets, again.buys.targets)
    assert (market.num_users, market.num_products, market.num_streamers) == (2000, 400, 20)
    keys = market.buys.sources * market.num_products + market.buys.targets
    assert len(np.unique(keys)) == len(keys)
    assert 0.7 * SHARES["buys"] * 40_000 < len(market.buys) <= SHARES["buys"] * 40_000
    purchases = np.sort(market.purchases())[::-1]
    assert purchases[:40].sum() > 0.25 * purchases.sum()


def test_rows_are_drawn_in_proportion_to_their_rank() -> None:
    rows = skewed(np.random.default_rng(0), 50, 200_000, skew=1.0)
    counts = np.sort(np.bincount(rows, minlength=50))[::-1]
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.15)
    assert len(counts) == 50


def test_the_slope_is_the_exponent() -> None:
    edges = [1e6, 2e6, 5e6, 1e7]
    assert slope(edges, [3e-6 * num**1.07 for num in edges]) == pytest.approx(1.07)


def test_memory_ends_where_its_line_meets_the_capacity() -> None:
    edges = [1e6, 3e6, 1e7]
    line = memory_line(edges, [5e8 + 800 * num for num in edges])
    assert line.per_edge == pytest.approx(800)
    assert line.max_edges(80e9) == pytest.approx((80e9 - 5e8) / 800)
    assert Line(5e8, 800).max_edges(1e8) == 0


def of_size(edges: float, *, bytes_per_edge: float) -> dict[str, float]:
    return {"edges": edges, "step_ms": edges / 1000, "step_peak_mb": edges * bytes_per_edge / MIB}


def test_a_size_is_tried_only_if_memory_is_expected_to_suffice() -> None:
    available = psutil.virtual_memory().available
    found = {1000: of_size(1000, bytes_per_edge=available / 10_000)}
    assert fits({}, 10**12)
    assert fits(found, 5000)
    assert not fits(found, 20_000)


def test_scaling_says_what_it_found_and_what_did_not_fit() -> None:
    found = {num: of_size(num, bytes_per_edge=1000) for num in (1000, 10_000)}
    figures = scaling_figures(found)
    assert figures["slope"] == pytest.approx(1)
    assert figures["step_ms@10000"] == 10
    assert figures["card_80gb_max_edges"] == pytest.approx(80e6)
    told = " ".join(sentences(figures, 20_000))
    assert "1,000 bytes" in told
    assert "80 GB card at about 80,000,000" in told
    assert "20,000 edges did not fit" in told
    assert "slope" not in scaling_figures({1000: found[1000]})


@pytest.mark.parametrize(
    ("number", "text"), [(123_456, "120,000"), (99_600, "100,000"), (80e6, "80,000,000"), (0, "0")]
)
def test_capacities_have_two_digits(number: float, text: str) -> None:
    assert rounded(number) == text


def test_the_plot_shows_time_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scaling.png"
    plot({num: of_size(num, bytes_per_edge=1000) for num in (1000, 10_000)}, path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.bench
def test_sizes_are_measured_one_after_the_other() -> None:
    found, failed_size = measure_scaling([4000, 8000], [], is_quick=True)
    assert failed_size is None
    assert [0.5 * size < figures["edges"] <= size for size, figures in found.items()] == [True, True]
    assert all(first["edges"] < second["edges"] for first, second in pairwise(found.values()))


def test_a_step_has_its_time_memory_and_floor() -> None:
    market = simulated_market(4000)
    figures = measure(market, CPU, is_quick=True)
    assert figures["nodes"] == market.num_users + market.num_products + market.num_streamers
    assert figures["purchases_per_s"] == pytest.approx(1000 * len(market.buys) / figures["step_ms"])
    assert figures["parameters_mb"] > 3 * figures["nodes"] * 100 * 4 / MIB
    assert figures["sparse_mb"] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_ways_of_the_sparse_product_agree() -> None:
    for matrix in blocks(simulated_market(4000), CPU).values():
        first, *others = sparse_products(matrix, 16).values()
        for other in others:
            assert torch.allclose(other(), first(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("void cusparse::csrmm_v3_kernel<float>", "sparse"),
        ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NTT", "dense"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimiser"),
        ("Memcpy HtoD (Pageable -> Device)", "copies"),
        ("void at::native::vectorized_elementwise_kernel<4>", "elementwise"),
    ],
)
def test_kernels_are_told_apart_by_their_names(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind
