"""Presets of hyperparameters, and what a training request makes of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from lsec.core.errors import InvalidInput, Untrainable
from workers.training.presets import Preset, chosen_hyperparameters, read_preset, save_preset

OURS = Preset("cosine-gcn", {"temperature": 0.3, "layer_weights": [0.5, 0.5]}, {"trial": 4})


def test_a_preset_is_read_as_it_was_saved_and_replaced(tmp_path: Path) -> None:
    save_preset(tmp_path / "presets", "spring", Preset("cosine-gcn", {}))
    path = save_preset(tmp_path / "presets", "spring", OURS)
    assert path == tmp_path / "presets" / "spring.json"
    assert read_preset(tmp_path / "presets", "spring") == OURS


def test_the_request_goes_before_the_preset(tmp_path: Path) -> None:
    save_preset(tmp_path, "spring", OURS)
    request = {"model": "cosine-gcn", "preset": "spring", "hyperparameters": {"temperature": 0.4}}
    chosen = chosen_hyperparameters(request, folder=tmp_path)
    assert chosen == {"temperature": 0.4, "layer_weights": [0.5, 0.5]}
    # Trainings that were queued before there were presets hold neither.
    assert chosen_hyperparameters({"model": "cosine-gcn"}, folder=tmp_path) == {}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"preset": "autumn"}, r"no preset autumn .*there are: .*, spring, .*lsec tune"),
        (
            {"preset": "spring", "model": "het-gcn"},
            r"preset spring is of the model cosine-gcn, asked for is het",
        ),
        ({"preset": "broken"}, r"broken.json cannot be read"),
        ({"preset": "strange"}, r"Unknown hyperparameters: wings"),
        ({"hyperparameters": {"wings": 2}}, r"Unknown hyperparameters: wings"),
        ({"hyperparameters": {"temperature": 100}}, r"temperature must be float from .* got 100"),
        ({"hyperparameters": {"batch_size": 7}}, r"Unknown hyperparameters: batch_size"),
    ],
)
def test_what_cannot_be_trained_with_is_named(
    tmp_path: Path, request_: dict[str, object], message: str
) -> None:
    save_preset(tmp_path, "spring", OURS)
    save_preset(tmp_path, "strange", Preset("cosine-gcn", {"wings": 2}))
    (tmp_path / "broken.json").write_text("[1]")
    (tmp_path / "spring.json.partial").write_text("half of")
    with pytest.raises(Untrainable, match=message):
        chosen_hyperparameters({"model": "cosine-gcn"} | request_, folder=tmp_path)


@pytest.mark.parametrize("name", ["", "../spring", "a/b", "A", ".hidden", "x" * 65])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name of a preset"):
        save_preset(tmp_path, name, OURS)
    with pytest.raises(InvalidInput, match="no name of a preset"):
        read_preset(tmp_path, name)


def test_checking_a_request_needs_no_torch() -> None:
    program = "import sys, workers.training.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
