"""Seeds: the set of streamers that reaches the most users for a product, within a number and a budget."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Query, Response

from lsec.api.dependencies import ServicesDep, invalid
from lsec.api.openapi import problems
from lsec.api.stores.seeding import follows_and_visits, interested_users, sides_of_product
from lsec.api.stores.touches import Streamers, all_streamers, num_users
from lsec.api.tables import (
    Category,
    GraphIdQuery,
    Row,
    Since,
    Table,
    Until,
    Wanted,
    influence_router,
    table_response,
    unknown,
    window_of,
)
from lsec.core.errors import NotFound
from lsec.influence.product_seeds import ProductSeeds, product_seeds

router = influence_router()

COLUMNS = (
    "place",
    "streamer_id",
    "name",
    "audience",
    "cost",
    "reach_alone",
    "marginal_reach",
    "total_reach",
    "total_cost",
)
MAX_COST = 1e12


@router.get(
    "/seeds",
    summary="The best set of streamers for a product under a budget",
    response_model=Table,
    responses=problems(404),
)
async def get_seeds(
    services: ServicesDep,
    wanted: Wanted,
    product_id: GraphIdQuery,
    *,
    k: Annotated[int, Query(ge=1, le=1000, description="Most streamers")] = 5,
    budget: Annotated[
        float | None, Query(gt=0, le=MAX_COST, description="The streamers together cost no more")
    ] = None,
    default_cost: Annotated[
        float, Query(gt=0, le=MAX_COST, description="What a streamer costs of whom nothing else is said")
    ] = 1,
    cost: Annotated[
        list[str] | None,
        Query(max_length=100, description="What a streamer costs, as ID=COST; may be given again"),
    ] = None,
    among: Annotated[
        Literal["all", "sellers"],
        Query(description="Whom to choose among; sellers offer the product already"),
    ] = "all",
    since: Since = None,
    until: Until = None,
    category: Category = None,
    min_audience: Annotated[
        int, Query(ge=1, description="Only streamers with so many followers and viewers to reach")
    ] = 1,
) -> Response:
    """Choose at most k streamers within a budget whose next streams reach the most users, and say how well.

    Reached is who has not bought the product; with a category, only who opened, carted or bought something of
    it within the window. Rows stand in the order of choice, with what each adds to the reach of those before.
    `details` has the bound that no set passes, and the share of the best set that is guaranteed.
    """
    asked = {
        "product_id": product_id,
        "k": k,
        "budget": budget,
        "default_cost": default_cost,
        "cost": cost,
        "among": among,
        "since": since,
        "until": until,
        "category": category,
        "min_audience": min_audience,
    }
    window = window_of(since, until)
    streamers = await all_streamers(services.graph)
    costs = _costs(cost or [], streamers, default_cost)
    product = await sides_of_product(services.graph, product_id)
    if not product.is_known:
        raise unknown("product_id", product_id)
    touches, streams = await follows_and_visits(services.graph, window=window, num_streamers=len(costs))
    interested = None
    if category is not None:
        interested = await interested_users(services.graph, category, window=window)
    # After all that was read, so that none is past it.
    is_wanted = np.full(await num_users(services.graph), interested is None)
    is_wanted[[] if interested is None else interested] = True
    is_wanted[product.buyers] = False
    candidates = product.sellers.tolist() if among == "sellers" else list(streamers.ids)
    is_candidate = np.isin(np.arange(len(costs)), candidates)
    found = await services.estimates.run(
        product_seeds,
        touches,
        streams,
        is_candidate=is_candidate,
        is_wanted=is_wanted,
        costs=costs,
        max_seeds=k,
        budget=budget,
        min_audience=min_audience,
    )
    details = _details(found) | {"users_to_reach": int(is_wanted.sum())}
    return table_response(
        wanted, "seeds", parameters=asked, columns=COLUMNS, rows=_rows(found, streamers), details=details
    )


def _costs(said: list[str], streamers: Streamers, default: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The cost [S] of each streamer; RequestValidationError for what is no ID=COST, NotFound for an id."""
    costs = np.full(max(streamers.ids, default=-1) + 1, float(default))
    for place, text in enumerate(said):
        id_, _, amount = text.rpartition("=")
        try:
            value = float(amount)
        except ValueError:
            value = 0
        if not id_ or not 0 < value <= MAX_COST:
            raise invalid("this is no ID=COST with a cost above 0", "query", f"cost.{place}")
        if id_ not in streamers.indexes:
            raise NotFound(f"There is no streamer {id_!r}.", field=f"cost.{place}")
        costs[streamers.indexes[id_]] = value
    return costs


def _rows(found: ProductSeeds, streamers: Streamers) -> list[Row]:
    seeds = found.seeds
    columns = (
        found.audiences,
        seeds.costs,
        found.reach_alone,
        seeds.marginal_reach,
        np.cumsum(seeds.marginal_reach),
        np.cumsum(seeds.costs),
    )
    figures = zip(*(column.tolist() for column in columns), strict=True)
    return [
        dict(zip(COLUMNS, (place, streamers.ids[row], streamers.names[row], *each), strict=True))
        for place, (row, each) in enumerate(zip(found.streamers.tolist(), figures, strict=True), 1)
    ]


def _details(found: ProductSeeds) -> dict[str, Any]:
    seeds = found.seeds
    return {
        "reach": seeds.reach,
        "upper_bound": seeds.upper_bound,
        "share_of_bound": seeds.share_of_bound,
        "guarantee": seeds.guarantee,
        "rule": seeds.rule,
        "num_candidates": found.num_candidates,
        "num_evaluations": seeds.num_evaluations,
    }
