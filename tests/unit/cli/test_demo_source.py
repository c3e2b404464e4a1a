"""Where the demo's events come from, and that a second run goes on with the first one's data."""

from itertools import islice
from pathlib import Path

import pytest

from graph_schema.events import UserViewed, UserWatched
from lsec.cli.demo_source import FolderSource, MarketSource, open_source, write_record
from lsec.core.errors import InvalidInput

TABLES = {
    "user": "user\nu1\nu2\n",
    "item": "item\ni1\n",
    "streamer": "streamer\ns1\n",
    "user-item-buy": "user\titem\nu1\ti1\n",
    "user-streamer-follow": "user\tstreamer\nu2\ts1\n",
    "streamer-item-sell": "streamer\titem\ns1\ti1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "train").mkdir(parents=True)
    for name, text in TABLES.items():
        (tmp_path / "data" / "train" / f"{name}.tsv").write_text(text)
    return tmp_path / "data"


def test_a_second_run_streams_the_very_same_market(tmp_path: Path) -> None:
    first, record = open_source(None, tmp_path)
    assert isinstance(first, MarketSource)
    write_record(tmp_path, record)
    second, again = open_source(None, tmp_path)
    assert again == record
    assert list(islice(second.events(), 500)) == list(islice(first.events(), 500))
    assert first.total == sum(1 for _ in first.events())


def test_a_folder_gives_its_users_and_its_events(folder: Path, tmp_path: Path) -> None:
    source, record = open_source(folder, tmp_path)
    assert record.source == str(folder)
    assert source.users(3) == ["u1", "u2"]
    assert source.total == len(list(source.events())) == 7


def test_a_folder_trickles_looks_of_its_own_users(folder: Path) -> None:
    events = list(islice(FolderSource(folder).trickle(), 50))
    pairs = {
        (e.user_id, e.product_id if isinstance(e, UserViewed) else e.streamer_id)
        for e in events
        if isinstance(e, UserViewed | UserWatched)
    }
    assert pairs == {("u1", "i1"), ("u2", "s1")}
    assert len({event.event_id for event in events}) == 50


def test_the_demo_of_one_source_is_not_mixed_with_anothers(folder: Path, tmp_path: Path) -> None:
    _, record = open_source(None, tmp_path)
    write_record(tmp_path, record)
    with pytest.raises(InvalidInput, match="holds the demo of market"):
        open_source(folder, tmp_path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"demo\.json cannot be read"):
        open_source(None, tmp_path)
