"""Whether a run fits is said before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.memory.models import TINY
from tui_ft.hardware import Gpu
from tui_ft.memory.calibration import Compared, correction
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.question import Question
from tui_ft.runs import folder as folders
from tui_ft.runs.measured_memory import compare_runs
from tui_ft.runs.memory_check import memory_findings, memory_of
from tui_ft.spec import RunSpec, build_spec

GB = 1_000_000_000


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(TINY))
    values = {
        "model": {"name_or_path": str(model)},
        "data": {"train": "rows.jsonl"},
        "training": {"max_length": 256},
    }
    return build_spec(values)


def _gpu(free: float | None) -> Gpu:
    size = None if free is None else int(free)
    return Gpu(0, "GPU-0", "H100", memory_free_bytes=size, compute_capability=(9, 0))


def test_a_run_that_fits_is_a_note_with_the_figures(spec: RunSpec) -> None:
    (finding,) = memory_findings(spec, [_gpu(24 * GB)])
    assert finding.severity == "note"
    assert finding.text.startswith("memory: ")
    assert "of 24.0 GB free on GPU 0" in finding.text


def test_a_run_that_does_not_fit_is_told_how_it_might(spec: RunSpec) -> None:
    (finding,) = memory_findings(spec, [_gpu(0.3 * GB)])
    assert finding.severity == "bad"
    assert "it will run out of memory" in finding.text
    assert finding.advice is not None
    assert finding.advice.startswith("lower training.per_device_train_batch_size")
    assert "take qlora" in finding.advice
    assert "gradient_checkpointing" not in finding.advice  # it is on


def test_between_expected_and_high_it_is_a_warning(spec: RunSpec) -> None:
    (generous,) = memory_findings(spec, [_gpu(24 * GB)])
    expected = float(generous.text.split()[1])
    assert generous.text.split()[2] == "MB"
    (finding,) = memory_findings(spec, [_gpu((expected + 5) * 1e6)])
    assert finding.severity == "warning"
    assert "it may run out" in finding.text


def test_nothing_is_said_without_a_gpu_or_a_model(spec: RunSpec, tmp_path: Path) -> None:
    assert memory_findings(spec, []) == ()
    assert memory_findings(spec, [_gpu(None)]) == ()
    (tmp_path / "model" / "config.json").unlink()
    assert memory_findings(spec, [_gpu(GB)]) == ()


def test_a_model_that_cannot_be_replayed_is_no_obstacle(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").write_text('{"model_type": "martian"}')
    (finding,) = memory_findings(spec, [_gpu(GB)])
    assert finding.severity == "note"
    assert "martian" in finding.text


def test_without_a_gpu_the_card_is_named_that_holds_it(spec: RunSpec) -> None:
    finding = memory_of(spec, [])
    assert finding.severity == "note"
    assert finding.text.endswith("most in the backward pass: a card of 8 GB holds it")
    assert memory_of(spec, [_gpu(24 * GB)]).text.endswith("on GPU 0")
    missing = spec.model_copy(
        update={"model": spec.model.model_copy(update={"name_or_path": "/x"})}
    )
    assert memory_of(missing, []).text == "there is no folder /x"


def test_finished_runs_are_compared_with_what_was_predicted(spec: RunSpec) -> None:
    (answer,) = dry_runs([Question(step=step_of(spec, TINY, longest=100))])
    assert answer.replayed is not None
    measured = int(answer.replayed.reserved * 1.25)
    for report in (
        {"peak_memory": {"reserved": measured}, "plan": {"longest_row": 100}},
        {"peak_memory": None},
        ["no report"],
    ):
        folders.create(spec).report_file.write_text(json.dumps(report))
    (compared,) = compare_runs()
    assert compared.predicted == answer.replayed.reserved
    assert compared.error == pytest.approx(1 / 1.25 - 1)


def _compared(predicted: int | None, measured: int) -> Compared:
    return Compared(run="r", predicted=predicted, measured=measured)


def test_a_correction_takes_three_runs_and_their_median() -> None:
    two = [_compared(100, 110), _compared(100, 90)]
    assert correction(two).factor == 1.0
    assert correction(two).worst_under == pytest.approx(0.1)
    three = [*two, _compared(100, 104), _compared(None, 5)]
    found = correction(three)
    assert found.runs == 3
    assert found.factor == pytest.approx(1.04)
    assert correction([]).runs == 0
