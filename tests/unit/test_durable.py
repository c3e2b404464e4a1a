"""Files and folders are there whole or not at all."""

from pathlib import Path

from lsec.core.durable import move_folder, write_text


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "job.json", "one")
    write_text(tmp_path / "job.json", "two")
    assert (tmp_path / "job.json").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_a_folder_moves_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "made" / "inner").mkdir(parents=True)
    (tmp_path / "made" / "inner" / "file").write_text("x")
    move_folder(tmp_path / "made", tmp_path / "kept" / "release")
    assert (tmp_path / "kept" / "release" / "inner" / "file").read_text() == "x"
    assert not (tmp_path / "made").exists()


def test_a_folder_moves_to_another_file_system(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        elsewhere = tmp_path
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_text("x")
    target = elsewhere / f"lsec-{tmp_path.parent.name}-{tmp_path.name}"
    try:
        move_folder(tmp_path / "made", target)
        assert (target / "file").read_text() == "x"
    finally:
        (target / "file").unlink()
        target.rmdir()
