"""Reading data sets from disk: both layouts, plain and gzip, and what is wrong with a damaged one."""

import gzip
from pathlib import Path

import pytest

from bench.layout import data_sets, read_set
from lsec.core.errors import InvalidInput
from workers.training.data import Ids, Pairs

TABLES = {
    "train/user": 'user\n7\n007\n"q\nü\n',
    "train/item": "item\nx\ny\nNA\n",
    "train/streamer": "streamer\n7\n",
    "train/user-item-buy": 'user\titem\n7\tx\n007\ty\n7\tx\nghost\tx\n"q\tNA\nü\tghost\n',
    "train/user-streamer-follow": "streamer\tuser\tsince\n7\t007\t3\n7\tghost\t3\n",
    "train/streamer-item-sell": "streamer\titem\n7\tNA\n",
    "val/user-item-buy": "user\titem\tvalue\n7\ty\t1\n7\tNA\t0\n",
    "test/user-item-buy": "user\titem\tvalue\n007\tx\t1\n007\tNA\t0\n7\tghost\t1\nghost\tx\t1\nghost\ty\t0\n",
}


def write(folder: Path, tables: dict[str, str], *, compressed: bool = False) -> Path:
    for name, text in tables.items():
        path = folder / f"{name}.tsv{'.gz' if compressed else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    return folder


def ids_of(pairs: Pairs, sources: Ids, targets: Ids) -> set[tuple[str, str]]:
    left, right = sources[pairs.sources].tolist(), targets[pairs.targets].tolist()
    return {(a.decode(), b.decode()) for a, b in zip(left, right, strict=True)}


@pytest.mark.parametrize("compressed", [False, True])
def test_ids_are_text_and_pairs_with_an_unknown_one_are_left_out(tmp_path: Path, compressed: bool) -> None:
    data = read_set(write(tmp_path / "market", TABLES, compressed=compressed))
    train = data.train
    assert data.name == "market"
    assert {value.decode() for value in train.user_ids.tolist()} == {"7", "007", '"q', "ü"}
    assert ids_of(train.buys, train.user_ids, train.product_ids) == {("7", "x"), ("007", "y"), ('"q', "NA")}
    assert sorted(train.buys.counts.tolist()) == [1, 1, 2]
    assert ids_of(train.sells, train.streamer_ids, train.product_ids) == {("7", "NA")}


def test_columns_are_found_by_the_header_and_others_read_over(tmp_path: Path) -> None:
    train = read_set(write(tmp_path, TABLES)).train
    assert ids_of(train.follows, train.user_ids, train.streamer_ids) == {("007", "7")}


def test_lists_hold_known_users_and_products_alone(tmp_path: Path) -> None:
    data = read_set(write(tmp_path, TABLES))
    assert data.test is not None
    assert data.train.user_ids[data.test.users].tolist() == [b"007"]
    listed = data.train.product_ids[data.test.products[0]].tolist()
    assert dict(zip(listed, data.test.is_positive[0].tolist(), strict=True)) == {b"x": True, b"NA": False}


def test_a_market_without_streamers_is_a_market(tmp_path: Path) -> None:
    empty = {
        "train/streamer": "streamer\n",
        "train/user-streamer-follow": "user\tstreamer\n",
        "train/streamer-item-sell": "streamer\titem\n",
    }
    train = read_set(write(tmp_path, TABLES | empty)).train
    assert (train.num_streamers, len(train.follows), len(train.sells)) == (0, 0, 0)
    assert len(train.buys) == 3


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_plain_split_is_pairs_without_a_header(tmp_path: Path, compressed: bool, separator: str) -> None:
    tables = {"train": "7,x\n007,y\n7,x\n", "test": "7,y\n9,x\n"}
    texts = {name: text.replace(",", separator) for name, text in tables.items()}
    data = read_set(write(tmp_path, texts, compressed=compressed))
    users, products = data.train.user_ids, data.train.product_ids
    assert ids_of(data.train.buys, users, products) == {("7", "x"), ("007", "y")}
    assert data.test_pairs is not None
    assert ids_of(data.test_pairs, users, products) == {("7", "y"), ("9", "x")}
    assert (data.val, data.test) == (None, None)


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_table_is_named(tmp_path: Path, name: str) -> None:
    tables = {other: text for other, text in TABLES.items() if other != name}
    expected = "is no data set" if name == "train/user-item-buy" else f"There is no {Path(name).name}.tsv"
    with pytest.raises(InvalidInput, match=expected):
        read_set(write(tmp_path, tables))


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("train/user-item-buy", "", "Empty"),
        ("train/user-item-buy", "user\tproduct\n7\tx\n", "'item'"),
        ("train/user-item-buy", "user\titem\n7\n", "Expected 2 columns, got 1"),
        ("test/user-item-buy", "user\titem\n7\tx\n", "'value'"),
        ("test/user-item-buy", "user\titem\tvalue\n7\tx\tyes\n", "'yes', neither 0 nor 1"),
    ],
)
def test_a_damaged_table_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint) as raised:
        read_set(write(tmp_path, TABLES | {name: text}))
    assert name in str(raised.value)


def test_a_file_that_is_not_gzip_is_named(tmp_path: Path) -> None:
    write(tmp_path, TABLES)
    (tmp_path / "train/user.tsv").rename(tmp_path / "train/user.tsv.gz")
    with pytest.raises(InvalidInput, match=r"user\.tsv\.gz: it cannot be read"):
        read_set(tmp_path)


def test_sets_are_found_by_name_in_a_folder_that_may_be_one_itself(tmp_path: Path) -> None:
    first, second = (
        write(tmp_path / "b", TABLES),
        write(tmp_path / "a", {"train": "1\t2\n", "test": "1\t3\n"}),
    )
    (tmp_path / "notes").mkdir()
    assert data_sets(tmp_path) == [second, first]
    assert data_sets(tmp_path, "b") == [first]
    assert data_sets(first) == [first]
    assert data_sets(first, "b") == [first]


def test_a_set_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no folder"):
        data_sets(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="There is no data set in"):
        data_sets(tmp_path)
    write(tmp_path / "ciao", TABLES)
    with pytest.raises(InvalidInput, match=r"no data set lastfm in .*; there are: ciao\."):
        data_sets(tmp_path, "lastfm")
