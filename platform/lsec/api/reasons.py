"""Why a product is shown: a path from the user to it that is in the graph now, in words and as a graph."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, SERVING_TIMEOUT_S, Graph

TASTE: dict[str, Any] = {"kind": "taste", "text": "Chosen to fit your taste"}
"""The reason of a product that the model chose, and no path leads to."""
POPULAR: dict[str, Any] = {"kind": "popular", "text": "Popular in the shop"}
"""The reason of a filler."""


class PathNode(BaseModel):
    """A node of a path; another user has no id here: who bought what is that user's own matter."""

    label: Literal["User", "Streamer", "Product"]
    id: str | None = None
    name: str | None = None


class PathRelationship(BaseModel):
    """A relationship of a path; `from` and `to` are places in its `nodes`, counted from 0."""

    type: Literal["FOLLOWS", "WATCHED", "SELLS", "BOUGHT"]
    from_: int = Field(alias="from")
    to: int


class Path(BaseModel):
    """What leads from the user to the product: the first and the last of the nodes.

    Relationships have the graph's direction. With several streamers it is as many paths side by side.
    """

    nodes: list[PathNode]
    relationships: list[PathRelationship]


class Reason(BaseModel):
    """Why a product is shown: `taste` is the model's choice alone; `num_users` and `minutes` are the least.

    `path` is there for the kinds that name one: `followed_streamers`, `watched_streamers`, `users_alike`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "users_alike",
                "text": "Bought by at least 2 users who bought what you bought, such as Blue mug",
                "num_users": 2,
                "path": {
                    "nodes": [
                        {"label": "User", "id": "u1"},
                        {"label": "Product", "id": "p3", "name": "Blue mug"},
                        {"label": "User"},
                        {"label": "Product", "id": "p7", "name": "Red mug"},
                    ],
                    "relationships": [
                        {"type": "BOUGHT", "from": 0, "to": 1},
                        {"type": "BOUGHT", "from": 2, "to": 1},
                        {"type": "BOUGHT", "from": 2, "to": 3},
                    ],
                },
            }
        }
    )
    kind: Literal["followed_streamers", "watched_streamers", "users_alike", "taste", "popular"]
    text: str
    streamers: list[str] | None = None
    num_users: int | None = None
    minutes: int | None = None
    path: Path | None = None


class Explainer:
    """The best reason for each of a user's products, read from the graph by one query and never kept."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def prepare(self) -> None:
        """Have Neo4j plan the query: when it has just started, that takes longer than a reader should wait.

        A query that is given up while it is planned leaves nothing behind, so each reader would wait again.
        """
        await self._paths("", [], timeout_s=ANALYSIS_TIMEOUT_S)

    async def explain(self, user_id: str, product_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The Reason, as JSON, of each of these products that a path leads to.

        The first of: followed streamers sell it, watched streamers do, users alike bought it. Dense nodes are
        looked at in part, see the query: a path that is only beyond its limits is not found.
        """
        if not product_ids:
            return {}
        rows = await self._paths(user_id, product_ids, timeout_s=SERVING_TIMEOUT_S)
        return {row["product_id"]: reason_of(user_id, row) for row in rows}

    async def _paths(
        self, user_id: str, product_ids: Sequence[str], *, timeout_s: float
    ) -> list[dict[str, Any]]:
        # One map, as there would be another plan for each magnitude of the ids' length and number.
        asked = {"user_id": user_id, "product_ids": list(product_ids)}
        return await self._graph.rows("recommendations/paths_to", timeout_s=timeout_s, asked=asked)


def popular_in(category_id: str) -> dict[str, Any]:
    """The reason of a filler that is popular in a category."""
    return {"kind": "popular", "text": f"Popular in {category_id}"}


def reason_of(user_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """The Reason that a row of the query stands for, without the id of the user alike."""
    user, product = {"label": "User", "id": user_id}, node("Product", row["product_id"], row["name"])
    if row["followed"]:
        return {
            "kind": "followed_streamers",
            "text": f"Sold by {listed(row['followed'])}, whom you follow",
            "streamers": [streamer["id"] for streamer in row["followed"]],
            "path": _through_streamers(user, "FOLLOWS", row["followed"], product),
        }
    if row["watched"]:
        minutes = sum(streamer["seconds"] for streamer in row["watched"]) // 60
        return {
            "kind": "watched_streamers",
            "text": f"Sold by {listed(row['watched'])}, whom you watched{duration(minutes)}",
            "streamers": [streamer["id"] for streamer in row["watched"]],
            "minutes": minutes,
            "path": _through_streamers(user, "WATCHED", row["watched"], product),
        }
    alike = row["alike"]
    users = "1 user" if alike["num_users"] == 1 else f"{alike['num_users']} users"
    return {
        "kind": "users_alike",
        "text": f"Bought by at least {users} who bought what you bought, such as {_name(alike)}",
        "num_users": alike["num_users"],
        "path": {
            "nodes": [user, node("Product", alike["id"], alike["name"]), {"label": "User"}, product],
            "relationships": [_bought(0, 1), _bought(2, 1), _bought(2, 3)],
        },
    }


def _through_streamers(
    user: dict[str, str], kind: str, streamers: Sequence[dict[str, Any]], product: dict[str, str]
) -> dict[str, Any]:
    """The path from user to product through each of the streamers."""
    last = len(streamers) + 1
    places = range(1, last)
    return {
        "nodes": [user, *(node("Streamer", found["id"], found["name"]) for found in streamers), product],
        "relationships": [{"type": kind, "from": 0, "to": place} for place in places]
        + [{"type": "SELLS", "from": place, "to": last} for place in places],
    }


def _bought(user: int, product: int) -> dict[str, Any]:
    return {"type": "BOUGHT", "from": user, "to": product}


def node(label: str, id_: str, name: str | None) -> dict[str, str]:
    """A node of a path; the name of a record, if there is one."""
    return {"label": label, "id": id_} | ({"name": name} if name else {})


def duration(minutes: int) -> str:
    """For how long, as the end of a sentence; nothing for less than a minute."""
    return {0: "", 1: " for 1 minute"}.get(minutes, f" for {minutes} minutes")


def _name(found: dict[str, Any]) -> str:
    name: str = found["name"] or found["id"]
    return name


def listed(found: Sequence[dict[str, Any]]) -> str:
    """The names of records, or their ids, as a part of a sentence."""
    *others, last = [_name(each) for each in found]
    return f"{', '.join(others)} and {last}" if others else last
