"""Whether a run fits is said before it starts."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.memory.models import TINY
from tui_ft.hardware import Gpu
from tui_ft.memory.calibration import Compared, correction
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.estimate import estimate
from tui_ft.memory.figure import CONTEXT_LOW, Figure
from tui_ft.memory.from_spec import not_modelled, step_of
from tui_ft.memory.question import Answer, Question
from tui_ft.memory.step import Step
from tui_ft.models import architecture_of
from tui_ft.runs import folder as folders
from tui_ft.runs import measured_memory, prediction
from tui_ft.runs.checks.memory import memory_findings, memory_of
from tui_ft.runs.measured_memory import compare_runs, machine_correction
from tui_ft.runs.prediction import Prediction
from tui_ft.runs.reward_models import reward_configs
from tui_ft.spec import RunSpec, build_spec

GIB = 1 << 30


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
    (finding,) = memory_findings(spec, [_gpu(24 * GIB)])
    assert finding.severity == "note"
    assert finding.text.startswith("memory: ")
    assert "of 24.0 GiB free on GPU 0" in finding.text


def test_a_run_that_does_not_fit_is_told_how_it_might(spec: RunSpec) -> None:
    (finding,) = memory_findings(spec, [_gpu(0.3 * GIB)])
    assert finding.severity == "bad"
    assert "it will run out of memory" in finding.text
    assert finding.advice is not None
    assert finding.advice.startswith("lower training.per_device_train_batch_size")
    assert "take qlora" in finding.advice
    assert "gradient_checkpointing" not in finding.advice  # it is on


def test_between_expected_and_high_it_is_a_warning(spec: RunSpec) -> None:
    (generous,) = memory_findings(spec, [_gpu(24 * GIB)])
    expected = float(generous.text.split()[1])
    assert generous.text.split()[2] == "MiB"
    (finding,) = memory_findings(spec, [_gpu((expected + 5) * 2**20)])
    assert finding.severity == "warning"
    assert "it may run out" in finding.text


def test_nothing_is_said_without_a_gpu_or_a_model(spec: RunSpec, tmp_path: Path) -> None:
    assert memory_findings(spec, []) == ()
    assert memory_findings(spec, [_gpu(None)]) == ()
    (tmp_path / "model" / "config.json").unlink()
    assert memory_findings(spec, [_gpu(GIB)]) == ()


def test_a_model_that_cannot_be_replayed_is_no_obstacle(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").write_text('{"model_type": "martian"}')
    (finding,) = memory_findings(spec, [_gpu(GIB)])
    assert finding.severity == "note"
    assert "martian" in finding.text


def test_without_a_gpu_the_card_is_named_that_holds_it(spec: RunSpec) -> None:
    finding = memory_of(spec, [])
    assert finding.severity == "note"
    assert finding.text.endswith("most in the backward pass: a card of 8 GB holds it")
    assert memory_of(spec, [_gpu(24 * GIB)]).text.endswith("on GPU 0")
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


def _finished(spec: RunSpec, measured: int, predicted: int | None) -> folders.RunFolder:
    folder = folders.create(spec)
    folder.report_file.write_text(json.dumps({"peak_memory": {"reserved": measured}}))
    found = Prediction(reserved=predicted, longest_row=100)
    folder.prediction_file.write_bytes(msgspec.json.encode(found))
    return folder


def test_a_prediction_kept_with_a_run_needs_no_new_dry_run(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def ask(questions: list[Question], **_: object) -> tuple[Answer, ...]:
        asked.extend(questions)
        return ()

    monkeypatch.setattr(measured_memory, "dry_runs", ask)
    known, unknown = _finished(spec, 1100, 1000), _finished(spec, 1100, None)
    found = {one.run: one for one in compare_runs()}
    assert found[known.id] == Compared(run=known.id, method="lora", predicted=1000, measured=1100)
    assert found[unknown.id].predicted is None
    assert asked == []
    assert machine_correction().runs == 1


def test_three_runs_of_this_machine_correct_what_is_said(spec: RunSpec) -> None:
    before = memory_of(spec, [])
    for measured in (1040, 1050, 1060):
        _finished(spec, measured, 1000)
    after = memory_of(spec, []).text
    assert "corrected by 1.05 from 3 lora runs on this machine; computed were" in after
    assert before.text.split()[1] in after.split("computed were ")[1]


def test_the_prediction_is_made_behind_the_run_for_its_longest_row(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []

    def answer(questions: list[Question], *, gently: bool) -> tuple[Answer, ...]:
        assert gently
        asked.extend(questions)
        return (Answer(error="it needs its weights"),)

    monkeypatch.setattr(prediction, "dry_runs", answer)
    folder = folders.create(spec)
    prediction.predict_behind(folder, spec, _gpu(GIB), 77)
    for thread in threading.enumerate():
        if thread.name == "ftui-prediction":
            thread.join()
    found = prediction.read_prediction(folder)
    assert found == Prediction(reserved=None, longest_row=77, problem="it needs its weights")
    assert [question.step.length for question in asked] == [77]
    assert folder.prediction_file.stat().st_mode & 0o777 == 0o600


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


def test_a_run_on_several_gpus_is_weighed_by_its_share(spec: RunSpec) -> None:
    """FSDP's share is replayed; of DDP the dry run knows nothing."""
    two = [_gpu(60 * GIB), dataclasses.replace(_gpu(60 * GIB), index=1, uuid="GPU-1")]

    def expected(**hardware: Any) -> str:
        values = {**spec.model_dump(), "method": {"kind": "full"}, "hardware": hardware}
        first, second = memory_findings(RunSpec.model_validate(values), two)
        assert "on GPU 1" in second.text
        return first.text

    shared = expected(gpus=[0, 1], distributed={"kind": "fsdp"})
    copied = expected(gpus=[0, 1])
    assert "in closed form" not in shared
    assert "in closed form" in copied
    size = [float(text.split("memory: ")[1].split()[0]) for text in (shared, copied)]
    assert size[0] < size[1]


def test_what_offload_and_loading_take_of_the_host_is_compared_with_what_is_there(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def findings(available: float, method: str, **how: object) -> list[tuple[str, str]]:
        there = SimpleNamespace(available=int(available), total=16 * GIB)
        monkeypatch.setattr("tui_ft.runs.checks.memory.psutil.virtual_memory", lambda: there)
        values = spec.model_dump()
        values["method"] = {"kind": method}
        values["hardware"] = {"num_gpus": 2, "distributed": how}
        gpus = [_gpu(80 * GIB), _gpu(80 * GIB)]
        return [(one.severity, one.text) for one in memory_findings(build_spec(values), gpus)]

    fsdp: dict[str, Any] = {"kind": "fsdp", "cpu_offload": True}
    (host,) = [one for one in findings(GIB, "full", **fsdp) if "offload holds" in one[1]]
    assert host[0] == "note"
    assert "each pass waits for the bus" in host[1]
    assert ("bad", True) in [
        (severity, "it will run out" in text) for severity, text in findings(10, "full", **fsdp)
    ]
    slow = [one for one in findings(GIB, "lora", **fsdp) if "makes the loss of LoRA" in one[1]]
    assert [severity for severity, _ in slow] == ["warning"]
    zero3 = {"kind": "deepspeed", "zero_stage": 3}
    (loaded,) = [one for one in findings(10, "full", **zero3) if "is read into" in one[1]]
    assert loaded[0] == "warning"  # there is more of it, though not free
    assert "2 processes read it at once, each all of it" in loaded[1]
    assert not [one for one in findings(GIB, "full", **zero3) if "is read into" in one[1]]


def test_a_reward_model_counts_with_its_own_size(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    large = {**TINY, "num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096}
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "config.json").write_text(json.dumps(large))

    def step_by(*judges: str) -> tuple[Step, RunSpec]:
        values = spec.model_dump()
        rewards = [{"kind": "reward_model", "model": judge} for judge in judges]
        values["objective"] = {"kind": "grpo", "rewards": rewards, "num_generations": 2}
        asked = build_spec(values)
        return step_of(asked, TINY, reward_configs=reward_configs(asked)), asked

    def taken(step: Step) -> int:
        figure = estimate(step)
        assert isinstance(figure, Figure)
        return figure.low

    (alike, _), (own, asked) = step_by("org/never-heard-of"), step_by(str(tmp_path / "judge"))
    assert alike.reward_configs == ()
    assert own.reward_configs == (large,)
    scored = architecture_of(large, 1).parameters
    weights = 2 * (scored - architecture_of(TINY, 1).parameters)
    assert taken(own) - taken(alike) == pytest.approx(weights, rel=0.02)
    (known, _) = step_by("meta-llama/Llama-3.2-1B")  # by the catalogue
    assert taken(known) - taken(alike) == pytest.approx(2 * 1.24e9, rel=0.2)
    notes = [one.text for one in memory_findings(asked, [_gpu(24 * GIB)])]
    assert not [one for one in notes if "own size is not looked up" in one]
    assert "its own size is not looked up" in " ".join(not_modelled(asked))
    (answer,) = dry_runs([Question(step=own)])
    closed = estimate(own)
    assert answer.replayed is not None
    assert isinstance(closed, Figure)
    assert answer.replayed.allocated == pytest.approx(closed.low - CONTEXT_LOW, rel=0.02)
