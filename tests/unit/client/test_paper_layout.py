"""Reading a folder in the paper's layout: what it gives, and what it says of a folder that is none."""

import gzip
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from graph_schema.events import Event, ProductShowcased, UserBought, UserFollowed
from lsec.client.paper_layout import (
    Candidate,
    count_training_rows,
    read_candidates,
    read_training_part,
)
from lsec.core.errors import InvalidInput

TABLES = {
    "user": "user\n7\n8\n9\n",
    "item": "item\n1\n2\n",
    "streamer": "streamer\n5\n",
    "user-item-buy": "user\titem\n7\t1\n8\t2\n7\t1\n",
    "user-streamer-follow": "user\tstreamer\n7\t5\n",
    "streamer-item-sell": "streamer\titem\n5\t2\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    for name, text in TABLES.items():
        (tmp_path / "train" / f"{name}.tsv").write_text(text)
    return tmp_path


def test_each_row_is_an_event(folder: Path) -> None:
    events = list(read_training_part(folder))
    assert Counter(str(type(event).__struct_config__.tag) for event in events) == {
        "user.upserted": 3,
        "product.upserted": 2,
        "streamer.upserted": 1,
        "user.bought": 3,
        "user.followed": 1,
        "product.showcased": 1,
    }
    assert count_training_rows(folder) == len(events)
    pairs = [(event.user_id, event.product_id) for event in events if isinstance(event, UserBought)]
    assert pairs == [("7", "1"), ("8", "2"), ("7", "1")]
    assert [(e.user_id, e.streamer_id) for e in events if isinstance(e, UserFollowed)] == [("7", "5")]
    assert [(e.streamer_id, e.product_id) for e in events if isinstance(e, ProductShowcased)] == [("5", "2")]


def test_the_events_are_valid_in_the_vocabulary(folder: Path) -> None:
    events = list(read_training_part(folder))
    assert [msgspec.json.decode(msgspec.json.encode(event), type=Event) for event in events] == events


def test_a_second_reading_gives_the_same_ids_and_times_also_in_another_order(folder: Path) -> None:
    first = list(read_training_part(folder))
    assert list(read_training_part(folder)) == first
    (folder / "train" / "user-item-buy.tsv").write_text("user\titem\n7\t1\n7\t1\n8\t2\n")
    again = list(read_training_part(folder))
    assert sorted(again, key=lambda e: e.event_id) == sorted(first, key=lambda e: e.event_id)
    assert len({event.event_id for event in first}) == len(first)


def test_compressed_files_are_read_like_plain_ones(folder: Path) -> None:
    plain = list(read_training_part(folder))
    for name, text in TABLES.items():
        (folder / "train" / f"{name}.tsv").unlink()
        (folder / "train" / f"{name}.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert list(read_training_part(folder)) == plain


def test_only_the_training_part_is_read(folder: Path) -> None:
    for part in ("val", "test"):
        (folder / part).mkdir()
        (folder / part / "user-item-buy.tsv").write_text("user\titem\tvalue\nsecret\tsecret\t1\n")
    assert not any("secret" in repr(event) for event in read_training_part(folder))


def test_further_columns_and_another_order_of_columns_are_read_over(folder: Path) -> None:
    plain = list(read_training_part(folder))
    (folder / "train" / "user-item-buy.tsv").write_text("item\tage\tuser\n1\t30\t7\n2\t\t8\n1\t3\t7\n")
    assert list(read_training_part(folder)) == plain


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("user-item-buy", "", r"user-item-buy\.tsv, line 1: .*\['user', 'item'\] were expected"),
        ("user-item-buy", "7\t1\n", r"user-item-buy\.tsv, line 1: the header is \['7', '1'\]"),
        ("user-item-buy", "user\titem\n7\t1\n8\n", r"user-item-buy\.tsv, line 3: 1 columns.* has 2"),
        ("streamer", "streamer\n5\n\n", r"streamer\.tsv, line 3: '' is no id"),
        ("user", "user\n7 8\n", r"user\.tsv, line 2: '7 8' is no id"),
        ("item", "item\n" + "x" * 200 + "\n", r"item\.tsv, line 2: 'x{40}…' is no id"),
    ],
)
def test_a_file_that_is_not_in_the_layout_is_named_with_its_line(
    folder: Path, name: str, text: str, message: str
) -> None:
    (folder / "train" / f"{name}.tsv").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        list(read_training_part(folder))


def test_a_missing_file_is_named_before_the_first_event(folder: Path) -> None:
    (folder / "train" / "user-item-buy.tsv").unlink()
    with pytest.raises(InvalidInput, match=r"no user-item-buy\.tsv or .* in .*train"):
        next(read_training_part(folder))


def test_a_file_that_is_no_gzip_is_named(folder: Path) -> None:
    (folder / "train" / "user.tsv").rename(folder / "train" / "user.tsv.gz")
    with pytest.raises(InvalidInput, match=r"user\.tsv\.gz cannot be read"):
        list(read_training_part(folder))


def test_candidates_are_read_with_their_value(tmp_path: Path) -> None:
    path = tmp_path / "user-item-buy.tsv.gz"
    path.write_bytes(gzip.compress(b"user\titem\tvalue\n7\t1\t0\n7\t2\t1\n"))
    assert list(read_candidates(path)) == [Candidate("7", "1", False), Candidate("7", "2", True)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("user\titem\n1\t2\n", "line 1"), ("user\titem\tvalue\n1\t2\t3\n", "line 2: the value is '3'")],
)
def test_a_list_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.tsv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        list(read_candidates(path))


def test_a_missing_list_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no file .*nothing\.tsv"):
        list(read_candidates(tmp_path / "nothing.tsv"))
