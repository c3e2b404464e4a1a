"""The training part of a folder in the layout of the paper's code, as rows and pairs of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from graph_schema.events import (
    ProductShowcased,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserFollowed,
    UserUpserted,
)
from lsec.client.paper_layout import read_training_part

Kind: TypeAlias = Literal["user", "product", "streamer"]
RowPairs: TypeAlias = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """A row for each id by kind, in the order of their coming, and pairs of rows, some perhaps repeated.

    Purchases are (user, product), follows (user, streamer), sells (streamer, product).
    """

    ids: dict[Kind, dict[str, int]] = field(
        default_factory=lambda: {"user": {}, "product": {}, "streamer": {}}
    )
    buys: RowPairs = field(default_factory=list)
    follows: RowPairs = field(default_factory=list)
    sells: RowPairs = field(default_factory=list)

    def row(self, kind: Kind, id_: str) -> int:
        """The row of an id, a new one if it has none yet."""
        return self.ids[kind].setdefault(id_, len(self.ids[kind]))


def read_training_rows(folder: Path) -> TrainingRows:
    """All of train/; InvalidInput for a bad folder."""
    rows = TrainingRows()
    row = rows.row
    for event in read_training_part(folder):
        match event:
            case UserUpserted(user_id=user):
                row("user", user)
            case ProductUpserted(product_id=product):
                row("product", product)
            case StreamerUpserted(streamer_id=streamer):
                row("streamer", streamer)
            case UserBought(user_id=user, product_id=product):
                rows.buys.append((row("user", user), row("product", product)))
            case UserFollowed(user_id=user, streamer_id=streamer):
                rows.follows.append((row("user", user), row("streamer", streamer)))
            case ProductShowcased(streamer_id=streamer, product_id=product):
                rows.sells.append((row("streamer", streamer), row("product", product)))
    return rows
