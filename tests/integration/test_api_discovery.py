"""The routes beside a user's own recommendations, whatever is asked, and without the graph."""

from lsec.client import Client
from tests.integration.vector_market import DEGRADED, VectorMarket

PATHS = {
    "/v1/products/{}/similar": 404,
    "/v1/products/{}/audience": 404,
    "/v1/streams/{}/showcase-next": 404,
    "/v1/users/{}/streamers": 200,
}
HOSTILE = [
    "nothing",
    "'%20OR%201=1",
    "x'})%20DETACH%20DELETE%20(n",
    "..%2F..%2Fetc",
    "%24%7Bx%7D",
    "é%F0%9F%9B%92",
]


def test_whatever_is_asked_is_answered_or_refused_by_the_name_of_the_field(market: VectorMarket) -> None:
    num_nodes = market.driver.execute_query("MATCH (n) RETURN count(n)").records[0][0]
    for path, status in PATHS.items():
        for id_ in HOSTILE:
            answer = market.client.get(path.format(id_))
            # An id has no white space; any other string is one.
            if "%20" in id_:
                field = path.split("/")[2].removesuffix("s") + "_id"
                assert (answer.status_code, answer.json()["field"]) == (422, field), (path, id_)
            else:
                assert answer.status_code == status, (path, id_)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
        known = path.format("live" if "streams" in path else "u1" if "users" in path else "p1")
        for name, value in (("k", 0), ("k", 10**6), ("k", "x"), ("limit", 3)):
            refused = market.client.get(known, params={name: value})
            assert (refused.status_code, refused.json()["field"]) == (422, name), (known, name)
    for name, value in (("category", "a b"), ("exclude", ""), ("in_stock", "maybe"), ("streamer_id", "\x00")):
        refused = market.client.get("/v1/products/p1/similar", params={name: value})
        assert refused.status_code == 422
        assert refused.json()["field"].startswith(name)
    assert (
        market.get("/v1/products/p1/similar", category="'}) DETACH DELETE (n) //".replace(" ", "/"))[
            "products"
        ]
        == []
    )
    for name in ("present_minutes", "not_shown_minutes"):
        refused = market.client.get("/v1/streams/live/showcase-next", params={name: -1})
        assert (refused.status_code, refused.json()["field"]) == (422, name)
    assert market.driver.execute_query("MATCH (n) RETURN count(n)").records[0][0] == num_nodes


def test_without_the_graph_answers_come_from_the_release_and_say_so(market: VectorMarket) -> None:
    paths = {
        "/v1/products/p3/similar?category=c1&k=4": "products",
        "/v1/users/u4/streamers?k=2&explain=true": "streamers",
        "/v1/products/p3/audience?k=9": "users",
    }
    market.get("/v1/users/u4/streamers")
    before = {path: market.get(path) for path in paths}
    market.way_to_graph.cut()
    for path, what in paths.items():
        answer = market.client.get(path)
        assert (answer.status_code, answer.headers[DEGRADED]) == (200, "graph"), path
        found = answer.json()
        assert [e | {"reason": None, "score": 0} for e in found[what]] == [
            e | {"reason": None, "score": 0} for e in before[path][what]
        ]
    shown = market.client.get("/v1/streams/live/showcase-next")
    assert (shown.status_code, shown.json()["detail"]) == (503, "Neo4j cannot be reached.")
    with Client(market.url, market.key) as client:
        assert client.similar_products("p3").degraded == ("graph",)
