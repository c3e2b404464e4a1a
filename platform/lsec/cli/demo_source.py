"""Where the demo's events come from: the simulated market, or a folder in the paper's layout."""

import random
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec

from graph_schema.events import Event, UserBought, UserFollowed, UserUpserted, UserViewed, UserWatched
from lsec.client.paper_layout import count_training_rows, read_training_part
from lsec.core.errors import InvalidInput
from lsec.simulate import Market, live, simulate

RECORD_FILE = "demo.json"


class DemoRecord(msgspec.Struct, kw_only=True):
    """What a demo's data folder holds, so that a second run goes on with it."""

    source: str
    start_at: datetime
    is_complete: bool = False


class MarketSource:
    """The simulated market: its days end last midnight, and live mode goes on from there."""

    title = "a simulated market"
    override_gate = None
    """It is large enough to be judged like any other."""

    def __init__(self, start_at: datetime) -> None:
        self._market = Market(start_at=start_at)
        self.total = sum(1 for _ in simulate(self._market))

    def events(self) -> Iterator[Event]:
        return simulate(self._market)

    def users(self, num: int) -> list[str]:
        return [f"user-{row}" for row in range(1, num + 1)]

    def trickle(self) -> Iterator[Event]:
        return live(self._market)


class FolderSource:
    """A folder in the paper's layout; in live mode its users look again at what they follow and bought."""

    override_gate = "a demo shows what comes out, however few users there are to judge it by"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.title = str(folder)
        self.total = count_training_rows(folder)

    def events(self) -> Iterator[Event]:
        return read_training_part(self._folder)

    def users(self, num: int) -> list[str]:
        records = (event.user_id for event in self.events() if isinstance(event, UserUpserted))
        return list(islice(records, num))

    def trickle(self) -> Iterator[Event]:
        pairs = [event for event in self.events() if isinstance(event, UserBought | UserFollowed)]
        draw = random.Random()
        while pairs:
            pair, event_id, at = draw.choice(pairs), f"demo-{secrets.token_hex(8)}", datetime.now(UTC)
            if isinstance(pair, UserBought):
                yield UserViewed(event_id=event_id, at=at, user_id=pair.user_id, product_id=pair.product_id)
            else:
                yield UserWatched(
                    event_id=event_id,
                    at=at,
                    user_id=pair.user_id,
                    streamer_id=pair.streamer_id,
                    seconds=draw.randint(5, 300),
                )


Source = MarketSource | FolderSource


def open_source(data: Path | None, data_dir: Path) -> tuple[Source, DemoRecord]:
    """The source, and the record of what of it is already in the data folder.

    InvalidInput if the data folder holds another source's events: one graph has one set of ids.
    """
    name = "market" if data is None else str(data.absolute())
    record = _read_record(data_dir)
    if record is None:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        record = DemoRecord(source=name, start_at=today - timedelta(days=Market().num_days))
    elif record.source != name:
        raise InvalidInput(
            f"The data folder {data_dir} holds the demo of {record.source}.",
            remedy="Give another one with --data-dir, or delete it.",
        )
    source = MarketSource(record.start_at) if data is None else FolderSource(data)
    return source, record


def write_record(data_dir: Path, record: DemoRecord) -> None:
    """Keeps the record in the data folder."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / RECORD_FILE).write_bytes(msgspec.json.encode(record))


def _read_record(data_dir: Path) -> DemoRecord | None:
    try:
        return msgspec.json.decode((data_dir / RECORD_FILE).read_bytes(), type=DemoRecord)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"{data_dir / RECORD_FILE} cannot be read: {error}", remedy="Delete the data folder."
        ) from error
