"""The paper's table: how the probability of a purchase depends on following and on the streamers selling."""

from typing import Annotated

from fastapi import Query, Response

from lsec.api.dependencies import Moment, ServicesDep
from lsec.api.openapi import problems
from lsec.api.stores.tripartite import tripartite
from lsec.api.tables import Category, Table, Wanted, influence_router, table_response, window_of
from lsec.influence.paper import MAX_FOLLOWED_SELLERS
from lsec.influence.paper_table import COLUMNS, named_rows, paper_table

router = influence_router()


@router.get(
    "/paper",
    summary="How purchase probability depends on following and selling",
    response_model=Table,
    responses=problems(400),
)
async def get_paper(
    services: ServicesDep,
    wanted: Wanted,
    since: Annotated[Moment, Query(description="Purchases from then on are explained by what was before")],
    until: Annotated[Moment, Query(description="...and those before then")],
    *,
    category: Category = None,
    neighbours: Annotated[
        int | None,
        Query(
            ge=1,
            le=100,
            description="Controls are so many on either side by rank; all others of equal rank by default",
        ),
    ] = None,
    max_followed_sellers: Annotated[
        int, Query(ge=1, le=20, description="From so many followed sellers on, pairs share a row")
    ] = MAX_FOLLOWED_SELLERS,
    min_purchases: Annotated[int, Query(ge=0, description="Only rows of so many purchases")] = 0,
) -> Response:
    """Tell how often new purchases lie in the catalogue of a streamer whom the user follows, and by how many.

    The share stands beside those of a product as popular, a user who follows as many, and a random product. A
    ratio is of the purchases of pairs of a user and a product to those that popularity alone would make, by
    how many of the product's sellers the user follows. `low` and `high` bound `value` with 95 %, over users.
    """
    asked = {
        "since": since,
        "until": until,
        "category": category,
        "neighbours": neighbours,
        "max_followed_sellers": max_followed_sellers,
        "min_purchases": min_purchases,
    }
    graph = await tripartite(services.graph, window=window_of(since, until), category=category or "")
    found = await services.estimates.run(
        paper_table,
        graph,
        neighbours=neighbours,
        max_followed_sellers=max_followed_sellers,
        min_purchases=min_purchases,
    )
    return table_response(wanted, "paper", parameters=asked, columns=COLUMNS, rows=named_rows(found))
