"""The release that is made up to be large is one that serves."""

from pathlib import Path

from bench.large_release import DIMENSIONS, SLATE_LENGTH, answer, write_release
from lsec.core.artifact import open_artifact

NUM_ROWS = 2000


def test_what_is_made_up_is_an_artifact_that_answers(tmp_path: Path) -> None:
    folder = tmp_path / "rel_large"
    sizes = write_release(folder, NUM_ROWS)
    artifact = open_artifact(folder, verify=True)
    assert artifact.product_vectors.shape == (NUM_ROWS, DIMENSIONS)
    assert len(artifact.slate(NUM_ROWS - 1)) == SLATE_LENGTH
    assert sizes["user_vectors.safetensors"] * 2**20 >= NUM_ROWS * DIMENSIONS * 2
    figures = answer(artifact)
    assert set(figures) == {"slate_us", "fold_in_built_ms", "fold_in_ms", "top_ms"}
    assert all(value > 0 for value in figures.values())
