"""What is asked for, and what is answered."""

from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from lsec.serving.tags import Rows

Source = Literal["folded_in", "slate", "followed", "popular_in_category", "popular", "none"]
"""Where a product comes from: the user's vector as of their last event, the release's slate, what the
streamers they follow or watch sell most, what sells most in their categories, or in the shop."""


class Wish(NamedTuple):
    """At most k products, and which may be among them.

    `only` are the product rows to choose from (a stream's showcase), None for all; `diversity` from 0 (by
    score alone) to 1 (each as unlike those before it as can be). A tuple, as all that is made for each
    answer: a frozen dataclass takes twice the time.
    """

    k: int = 10
    only: Rows | None = None
    streamer_id: str = ""
    category: str = ""
    exclude: frozenset[str] = frozenset()
    in_stock: bool = True
    include_bought: bool = False
    diversity: float = 0.0

    @property
    def is_narrow(self) -> bool:
        """Whether it names the products to choose from."""
        return self.only is not None or bool(self.streamer_id or self.category)


class Pick(TypedDict):
    """A product as it is shown; `score` is 0 where no model scored it for the user."""

    product_id: str
    score: float
    source: Source
    reason: NotRequired[dict[str, Any]]
