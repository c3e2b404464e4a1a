"""The paper's table as it is made first: by the platform's estimate, on rows that come one by one."""

import neo4j

from bench.influence_asks import Ask
from bench.influence_rows import Rows, asked_of, columns_of, rows_of
from bench.influence_statements import LIFT, NUM_USERS
from lsec.influence.paper import Tripartite
from lsec.influence.paper_table import named_rows, paper_table

SELLS = """
MATCH (s:Streamer)-[r:SELLS]->(p:Product)
WHERE r.first_at < $since
RETURN s.index AS streamer, p.index AS product
"""
PURCHASES = """
MATCH (u:User)-[b:BOUGHT]->(p:Product)
WHERE b.at < $until AND b.refunded_at IS NULL
RETURN DISTINCT u.index AS user, p.index AS product, b.at >= $since AS is_after
"""
NUM_STREAMERS = "MATCH (s:Streamer) RETURN count(s) AS num"
NUM_PRODUCTS = "MATCH (p:Product) RETURN count(p) AS num"


def paper(driver: neo4j.Driver, ask: Ask) -> Rows:
    """The rows of the table."""
    known = asked_of(ask)
    follows = columns_of(rows_of(driver, LIFT["follows"], known | {"until": known["since"]}))
    sells, bought = (columns_of(rows_of(driver, statement, known)) for statement in (SELLS, PURCHASES))
    num_users, num_streamers, num_products = (
        rows_of(driver, statement, {})[0]["num"] for statement in (NUM_USERS, NUM_STREAMERS, NUM_PRODUCTS)
    )
    is_after = bought["is_after"] > 0
    graph = Tripartite(
        num_users=num_users,
        num_streamers=num_streamers,
        num_products=num_products,
        follows=(follows["user"], follows["streamer"]),
        sells=(sells["streamer"], sells["product"]),
        before=(bought["user"][~is_after], bought["product"][~is_after]),
        after=(bought["user"][is_after], bought["product"][is_after]),
    )
    return named_rows(paper_table(graph))
