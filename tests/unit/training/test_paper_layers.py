"""The paper's layers and network equal dense computations and PyG's own layers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.training.markets import market
from workers.training.data import Interactions
from workers.training.paper.layers import Aggregation, Attention, Convolution, Direction
from workers.training.paper.network import Network
from workers.training.paper.preset import PaperHyperparameters
from workers.training.paper.relations import Relation, relations_of
from workers.training.paper.sums import Bags, weighted_sums

CPU = torch.device("cpu")
SMALL = PaperHyperparameters.from_mapping(
    {"layer_dimensions": [6, 5, 4], "attention_heads": 2, "predictor_dimensions": 7}
)


@pytest.fixture
def data(tmp_path: Path) -> Interactions:
    return market(tmp_path, num_users=9, num_products=7, num_streamers=4, num_buys=25, num_follows=12)


def buys_of(data: Interactions, *, num_heads: int = 1) -> Relation:
    return relations_of(data, only_buys=True, num_heads=num_heads, device=CPU)[0]


def some_kept(relation: Relation, seed: int = 0) -> Tensor:
    return torch.rand(relation.num_edges, generator=torch.Generator().manual_seed(seed)) < 0.7


def network(data: Interactions, relations: list[Relation], aggregation: Aggregation) -> Network:
    sizes = {"user": data.num_users, "product": data.num_products, "streamer": data.num_streamers}
    torch.manual_seed(0)
    return Network(relations, sizes, aggregation=aggregation, hyperparameters=SMALL)  # type: ignore[arg-type]  # literals


@pytest.mark.parametrize("num_heads", [1, 3])
def test_weighted_sums_and_their_gradients_are_those_of_the_dense_product(
    data: Interactions, num_heads: int
) -> None:
    direction = buys_of(data, num_heads=num_heads).onward
    sources, targets = direction.edge_index.as_tensor()
    vectors = torch.randn(9, num_heads, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(sources), num_heads, dtype=torch.float64, requires_grad=True)

    def sums(vectors: Tensor, weights: Tensor) -> Tensor:
        return weighted_sums(vectors, weights, direction.by_target, direction.by_source)

    messages = vectors[sources] * weights[..., None]
    expected = messages.new_zeros(7, num_heads, 5).index_add(0, targets, messages)
    torch.testing.assert_close(sums(vectors, weights), expected)
    assert torch.autograd.gradcheck(sums, (vectors, weights))


def test_sums_over_no_edges_are_zero() -> None:
    none = torch.empty(0, dtype=torch.int64)
    bags = Bags.from_sorted(none, none, none, num_rows=3, num_heads=2)
    weights = torch.zeros(0, 2, requires_grad=True)
    sums = weighted_sums(torch.ones(4, 2, 5, requires_grad=True), weights, bags, bags)
    assert torch.equal(sums, torch.zeros(3, 2, 5))


def direction_of(pairs: Tensor, relation: Relation, num_heads: int) -> Direction:
    """Onward, over these pairs [2, E] only."""
    sources, targets = pairs[:, torch.argsort(pairs[1], stable=True)]
    return Direction.from_sorted(
        sources,
        targets,
        torch.arange(len(sources)),
        shape=(relation.num_sources, relation.num_targets),
        num_heads=num_heads,
        device=CPU,
    )


def test_attention_equals_that_of_pyg_on_the_graph_without_the_edges_left_out(data: Interactions) -> None:
    # Not at the top: PyG warns when it is first imported, which our layers keep quiet.
    from torch_geometric.nn import GATConv

    relation = buys_of(data, num_heads=3)
    kept = some_kept(relation)
    torch.manual_seed(0)
    ours = Attention(6, 5, 3)
    torch.nn.init.normal_(ours.bias)
    theirs = GATConv(6, 5, heads=3, add_self_loops=False)
    theirs.load_state_dict(ours.state_dict())
    users, products = torch.randn(9, 6), torch.randn(7, 6)
    weights = kept.float()[relation.onward.edges]
    expected = theirs((users, products), relation.pairs[:, kept])
    torch.testing.assert_close(ours(users, products, relation.onward, weights), expected)


def test_a_target_whose_edges_are_all_left_out_gets_the_bias_alone(data: Interactions) -> None:
    relation = buys_of(data, num_heads=2)
    layer = Attention(6, 5, 2)
    torch.nn.init.normal_(layer.bias)
    nothing = layer(torch.randn(9, 6), torch.randn(7, 6), relation.onward, torch.zeros(relation.num_edges))
    torch.testing.assert_close(nothing, layer.bias.expand(7, 10))


def dense_weights(relation: Relation, kept: Tensor) -> Tensor:
    """D_s^-½ B D_t^-½ of the kept edges, [S, T]."""
    edges = torch.zeros(relation.num_sources, relation.num_targets)
    edges[relation.pairs[0, kept], relation.pairs[1, kept]] = 1
    left, right = edges.sum(1).clamp(min=1), edges.sum(0).clamp(min=1)
    return edges / (left[:, None] * right).sqrt()


@pytest.mark.parametrize("aggregation", ["gcn", "lightgcn"])
def test_the_heterogeneous_propagation_equals_a_dense_one(
    data: Interactions, aggregation: Aggregation
) -> None:
    relations = relations_of(data, only_buys=False, device=CPU)
    model = network(data, relations, aggregation)
    kept = {relation.name: some_kept(relation) for relation in relations}
    found = model(kept)
    parts: dict[str, list[Tensor]] = {"user": [], "product": [], "streamer": []}
    for relation in relations:
        outputs = dense_network(model, relation, dense_weights(relation, kept[relation.name]))
        for kind, output in zip((relation.source, relation.target), outputs, strict=True):
            parts[kind].append(output)
    for kind, vectors in found.items():
        torch.testing.assert_close(vectors, torch.cat(parts[kind], dim=1))


def dense_network(model: Network, relation: Relation, matrix: Tensor) -> list[Tensor]:
    """What the relation's two layers make of its sources and targets, by products with the matrix."""
    layers: Any = model.networks[relation.name]
    sources, targets = (model.embeddings[kind].weight for kind in (relation.source, relation.target))
    hidden = [
        dense_layer(layers.backward_[0], matrix, targets),
        dense_layer(layers.onward[0], matrix.T, sources),
    ]
    if layers.onward[0].linear is not None:
        hidden = [rows.relu() for rows in hidden]
    sources, targets = hidden
    return [
        dense_layer(layers.backward_[1], matrix, targets),
        dense_layer(layers.onward[1], matrix.T, sources),
    ]


def dense_layer(layer: Convolution, matrix: Tensor, rows: Any) -> Tensor:
    linear, bias = layer.linear, layer.bias
    output: Tensor = matrix @ (rows if linear is None else rows @ linear.weight.T)
    return output if bias is None else output + bias


@pytest.mark.parametrize(("aggregation", "width"), [("gcn", 4), ("lightgcn", 6), ("gat", 8)])
def test_vectors_join_those_of_the_relations(
    data: Interactions, aggregation: Aggregation, width: int
) -> None:
    num_heads = 2 if aggregation == "gat" else 1
    for only_buys, num_relations in ((True, 1), (False, 2)):
        relations = relations_of(data, only_buys=only_buys, num_heads=num_heads, device=CPU)
        found = network(data, relations, aggregation)()
        assert found["user"].shape == (9, num_relations * width)
        assert found["product"].shape == (7, num_relations * width)
        assert ("streamer" in found) is not only_buys
        assert all(vectors.isfinite().all() for vectors in found.values())
