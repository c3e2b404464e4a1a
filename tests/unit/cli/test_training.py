"""What `lsec train` asks for, and how it shows a run's validations."""

import msgspec
import pytest

from lsec.cli.training import require_success, show, validation_line
from lsec.client import routes
from lsec.client.answers import Training
from lsec.client.exchange import Call
from lsec.core.errors import LsecError

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
    gate = {"override_gate": "the launch is today", "warm_start": True}
    assert body(**gate) == plain | gate


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


GATE = {
    "is_passed": False,
    "judged_against": "rel_1",
    "checks": [
        {
            "name": "held_out_users",
            "value": 12,
            "bound": 50,
            "is_passed": False,
            "detail": "12 users have some.",
        },
        {"name": "coverage", "value": 0.7, "bound": 0.05, "is_passed": True, "detail": "They show 70 %."},
    ],
}


def test_a_rejected_run_is_shown_with_the_verdict_and_ends_in_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Training(
        id="trn_1", status="rejected", release_id="rel_2", metrics={"gate": GATE}, error="held_out_users: 12."
    )
    show(run, as_json=False)
    shown = capsys.readouterr().out
    assert "Gate: not passed" in shown
    assert "judged_against" not in shown
    rows = [line.replace("│", " ").split() for line in shown.splitlines()]
    assert ["held_out_users", "failed", "12", "12", "users", "have", "some."] in rows
    assert ["coverage", "passed", "0.7", "They", "show", "70", "%."] in rows
    with pytest.raises(LsecError, match="held_out_users: 12") as raised:
        require_success(run, as_json=False)
    assert "--override-gate" in str(raised.value.remedy)
    assert "rel_2" in str(raised.value.remedy)


def test_an_override_is_shown_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    gate = GATE | {"override": {"by": "key_1", "reason": "the launch is today", "at": "2026-01-01T00:00:00Z"}}
    show(Training(id="trn_1", status="succeeded", metrics={"gate": gate}), as_json=False)
    assert "Gate: overridden (the launch is today)" in capsys.readouterr().out


def test_a_run_without_a_curve_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    show(Training(id="trn_1", status="queued"), as_json=False)
    assert "Validations" not in capsys.readouterr().out
