"""A backup holds what links lead to, or is refused: it never lacks a part."""

from pathlib import Path

import pytest

from lsec.core.errors import StackError
from lsec.core.settings import Settings
from lsec.local import backup
from tests.unit.local.stack_folder import TEXTS, make_stack_folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_stack_folder(tmp_path / "data")


@pytest.mark.parametrize("part", ["neo4j", "neo4j/data/databases", "valkey"])
def test_a_part_that_is_a_link_to_another_disk_is_in_the_backup(
    data_dir: Path, tmp_path: Path, part: str
) -> None:
    (data_dir / part).rename(tmp_path / "disk")
    (data_dir / part).symlink_to(tmp_path / "disk")
    backup.back_up(Settings(data_dir=data_dir), tmp_path / "one.lsec")
    backup.restore(tmp_path / "one.lsec", tmp_path / "restored")
    for name in ("neo4j/data/databases/neo4j/store.db", "valkey/appendonlydir/log.aof"):
        assert (tmp_path / "restored" / name).read_text() == TEXTS[name]


@pytest.mark.parametrize("target", ["../unmounted", "../.."])
def test_a_link_that_leads_nowhere_or_into_a_circle_is_refused_by_name(
    data_dir: Path, tmp_path: Path, target: str
) -> None:
    (data_dir / "valkey" / "link").symlink_to(target)
    with pytest.raises(StackError, match="valkey/link is a link that leads nowhere"):
        backup.back_up(Settings(data_dir=data_dir), tmp_path / "one.lsec")
    assert not (tmp_path / "one.lsec").exists()


def test_a_part_without_a_file_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "valkey/appendonlydir/log.aof").unlink()
    with pytest.raises(StackError, match="valkey holds no file"):
        backup.back_up(Settings(data_dir=data_dir), tmp_path / "one.lsec")
    assert not (tmp_path / "one.lsec").exists()
