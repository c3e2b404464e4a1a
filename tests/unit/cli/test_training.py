"""What `lsec train` asks for, and how it shows a run's validations."""

import msgspec
import pytest

from lsec.cli.training import show, validation_line
from lsec.client import routes
from lsec.client.answers import Training
from lsec.client.exchange import Call

CURVE = [
    {"step": 10, "loss": 5.25, "ndcg@10": 0.4, "auc": 0.9, "step_ms": 81.5, "peak_mb": 612.0, "seconds": 0.9},
    {
        "step": 20,
        "loss": 4.75,
        "ndcg@10": 0.45,
        "auc": 0.91,
        "step_ms": 80.5,
        "peak_mb": 613.0,
        "seconds": 1.8,
    },
]


def test_the_request_holds_preset_and_hyperparameters_where_they_are_given() -> None:
    def body(**how: object) -> dict[str, object]:
        call = next(routes.train(**how))  # type: ignore[arg-type]  # one call for several shapes
        assert isinstance(call, Call)
        decoded: dict[str, object] = msgspec.json.decode(call.content or b"")
        return decoded

    plain = {"min_purchases": 1, "seed": 0, "publish": True}
    assert body() == plain
    chosen = {"preset": "spring", "hyperparameters": {"temperature": 0.4, "layer_weights": [0.5, 1]}}
    assert body(**chosen) == plain | chosen


def test_a_validation_is_a_line() -> None:
    line = validation_line(CURVE[0])
    assert line == "step 10  loss 5.25  ndcg@10 0.4  auc 0.9  step_ms 81.5  peak_mb 612  seconds 0.9"


def test_a_run_is_shown_with_its_curve_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"candidates": {"ndcg@10": 0.46}, "validations": CURVE, "stopped_because": "all 20 steps taken"}
    show(Training(id="trn_1", status="succeeded", metrics=metrics), as_json=False)
    shown = capsys.readouterr().out
    assert "all 20 steps taken" in shown
    assert "candidates.ndcg@10" in shown
    rows = [line.replace("│", " ").split() for line in shown.splitlines()]
    assert ["10", "5.25", "0.4", "0.9", "81.5", "612", "0.9"] in rows
    assert ["20", "4.75", "0.45", "0.91", "80.5", "613", "1.8"] in rows
    assert "'step'" not in shown


def test_a_run_without_a_curve_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    show(Training(id="trn_1", status="queued"), as_json=False)
    assert "Validations" not in capsys.readouterr().out
