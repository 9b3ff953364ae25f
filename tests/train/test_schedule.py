"""When a run evaluates and saves, and what is kept of its answers and figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.tiny_model import chat_rows, write_rows
from tests.train.running import make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.spec.online import GrpoObjective
from tui_ft.spec.rewards import LengthReward
from tui_ft.spec.run_spec import TrainingSpec
from tui_ft.spec.trainer_arguments import plan_schedule, usual_figure
from tui_ft.train import callback, worker
from tui_ft.train.schedule import StopsEarly


@pytest.mark.parametrize(
    ("evaluate", "save", "multiple", "noted"),
    [
        (10, 10, 1, ""),
        (10, 30, 3, ""),
        (10, 25, 2, "save_steps 25 became 20"),
        (10, 4, 1, "save_steps 4 became 10"),
        (0.1, 0.1, 1, ""),
        (0.1, 0.3, 3, ""),  # 3 x 0.1 is not 0.3 in binary
        (0.1, 0.25, 2, "save_steps 0.25 became 0.2"),
        (0.1, 50, 1, "save_steps 50 became 0.1"),
    ],
)
def test_saving_falls_on_evaluations(
    evaluate: float, save: float, multiple: int, noted: str
) -> None:
    notes: list[str] = []
    training = TrainingSpec(eval_steps=evaluate, save_steps=save)
    schedule = plan_schedule(training, True, notes.append)
    assert schedule.evaluations_a_save == multiple
    assert schedule.arguments["load_best_model_at_end"]
    assert schedule.arguments["save_steps"] == schedule.arguments["eval_steps"]
    assert bool(notes) == bool(noted)
    assert all(noted in note for note in notes)


def test_without_rows_to_evaluate_saving_goes_by_its_own_steps() -> None:
    notes: list[str] = []
    training = TrainingSpec(eval_steps=10, save_steps=25, early_stopping_patience=3)
    schedule = plan_schedule(training, False, notes.append)
    assert schedule.evaluations_a_save is None
    assert schedule.arguments["eval_strategy"] == "no"
    assert schedule.arguments["save_steps"] == 25
    assert not schedule.arguments["load_best_model_at_end"]
    assert "no early stopping" in notes[0]


@pytest.mark.parametrize(
    ("asked", "metric", "greater"),
    [
        ({}, "eval_loss", False),
        ({"metric_for_best_model": "f1"}, "eval_f1", True),
        ({"extra": {"metric_for_best_model": "eval_accuracy"}}, "eval_accuracy", True),
        ({"metric_for_best_model": "entropy", "greater_is_better": False}, "eval_entropy", False),
    ],
)
def test_the_best_checkpoint_is_known_by_its_figure_the_right_way_round(
    asked: dict[str, Any], metric: str, greater: bool
) -> None:
    arguments = plan_schedule(TrainingSpec(**asked), True, lambda _: None).arguments
    assert arguments["metric_for_best_model"] == metric
    assert arguments["greater_is_better"] is greater


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("asked", "usual", "said"),
    [
        ({}, "eval_loss", None),
        ({}, "eval_reward", {"mode": "max"}),
        ({"lr_scheduler_kwargs": {"factor": 0.5}}, "eval_reward", {"mode": "max", "factor": 0.5}),
        ({"metric_for_best_model": "f1"}, "eval_loss", {"mode": "max"}),
    ],
)
def test_a_schedule_that_follows_the_evaluation_knows_which_way_is_better(
    asked: dict[str, Any], usual: str, said: dict[str, Any] | None, kept: bool
) -> None:
    asked |= {"lr_scheduler_type": "reduce_lr_on_plateau", "load_best_model_at_end": kept}
    arguments = plan_schedule(TrainingSpec(**asked), True, lambda _: None, usual).arguments
    assert arguments.get("lr_scheduler_kwargs") == said
    metric = asked.get("metric_for_best_model")
    assert arguments["metric_for_best_model"] == (f"eval_{metric}" if metric else usual)


def test_early_stopping_of_rewarded_answers_goes_by_the_reward() -> None:
    training = TrainingSpec(load_best_model_at_end=False, early_stopping_patience=2)
    usual = usual_figure(GrpoObjective(rewards=[LengthReward(target=8)]))
    arguments = plan_schedule(training, True, lambda _: None, usual).arguments
    assert arguments["load_best_model_at_end"]
    assert arguments["metric_for_best_model"] == "eval_reward"
    assert arguments["greater_is_better"]


def test_a_figure_that_evaluations_do_not_have_is_told_with_those_they_have(
    tmp_path: Path, tiny_llama: Path
) -> None:
    training = {"max_steps": 2, "eval_steps": 1, "save_steps": 1, "metric_for_best_model": "f2"}
    ended = run_worker(make_spec(tmp_path, tiny_llama, training=training), tmp_path / "run").ended
    assert ended.state == "failed"
    assert "no figure eval_f2" in ended.reason
    assert "loss" in ended.advice[0]
    assert "entropy" in ended.advice[0]


def test_a_warm_up_that_a_schedule_passes_over_is_told() -> None:
    said = {}
    for kind in ("constant", "constant_with_warmup"):
        notes: list[str] = []
        plan_schedule(TrainingSpec(lr_scheduler_type=kind, warmup_steps=0.1), True, notes.append)
        said[kind] = notes
    assert "warmup_steps 0.1 does nothing" in said["constant"][0]
    assert not said["constant_with_warmup"]


def test_early_stopping_counts_the_figure_that_is_asked_for(tmp_path: Path) -> None:
    args = TrainingArguments(
        output_dir=str(tmp_path),
        eval_strategy="steps",
        save_strategy="steps",
        load_best_model_at_end=True,
        metric_for_best_model="eval_reward",
        greater_is_better=True,
        use_cpu=True,
    )
    rewards = (0.1, 0.5, 0.4, 0.3)
    logged = [{"eval_reward": one, "eval_loss": -one} for one in rewards]
    callback = StopsEarly(early_stopping_patience=3)
    callback.on_train_begin(args, TrainerState(log_history=logged), TrainerControl())
    assert callback.early_stopping_patience_counter == 2


def test_shares_of_all_steps_meet_on_every_checkpoint(tmp_path: Path, tiny_llama: Path) -> None:
    # 0.1 and 0.3 of 25 steps are 3 and 8 when rounded up one by one.
    training = {"max_steps": 25, "eval_steps": 0.1, "save_steps": 0.3}
    ran = run_worker(make_spec(tmp_path, tiny_llama, training=training), tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    evaluated = [evaluation.step for evaluation in ran.of(ev.Evaluation)]
    saved = [checkpoint.step for checkpoint in ran.of(ev.Checkpoint)]
    assert evaluated == [3, 6, 9, 12, 15, 18, 21, 24, 25]
    assert saved == [9, 18, 25]


SCORE = {"samples": 0, "score": {"rows": 8, "batch_size": 1, "max_new_tokens": 24}}


def _stop_while_grading(event: ev.Event, send: Callable[[str], None]) -> None:
    if isinstance(event, ev.Phase) and event.phase == "score" and "after" in event.text:
        send("stop")


def test_stopped_while_graded_it_is_saved_and_resumes_without_another_step(
    tmp_path: Path, tiny_llama: Path
) -> None:
    training = {"max_steps": 20, "save_steps": 10}
    spec = make_spec(tmp_path, tiny_llama, training=training, evaluation=SCORE)
    stopped = run_worker(spec, tmp_path / "run", on_event=_stop_while_grading)
    assert stopped.ended.state == "stopped"
    assert "while it graded answers" in stopped.ended.reason
    assert "resume from step 20" in stopped.ended.advice[0]
    assert (stopped.folder.path / "model" / "model.safetensors").is_file()
    (before,) = stopped.of(ev.Score)

    resumed = run_worker(spec, tmp_path / "run", resume=True)
    assert resumed.ended.state == "finished"
    assert resumed.history.series("loss").x == list(range(1, 21))
    assert [score.when for score in resumed.of(ev.Score)] == ["after"]
    report = json.loads(resumed.folder.report_file.read_text())
    assert report["scores"]["before"]["exact_match"] == before.values["exact_match"]
    assert set(report["scores"]) == {"before", "after"}
    assert report["tokens"] == resumed.history.series("tokens").last()
    assert report["versions"]["trl"]


def test_the_score_rises_with_training(tmp_path: Path, tiny_llama: Path) -> None:
    rows = chat_rows(100)
    for row in rows:
        messages = row["messages"]
        assert isinstance(messages, list)
        messages[1]["content"] = "It is red."
    write_rows(tmp_path / "rows.jsonl", rows)
    training = {"max_steps": 60, "eval_steps": 60, "save_steps": None}
    spec = make_spec(tmp_path, tiny_llama, training=training, evaluation=SCORE)
    ran = run_worker(spec, tmp_path / "run")
    before, after = ran.of(ev.Score)
    assert (before.when, before.rows, after.when, after.rows) == ("before", 8, "after", 8)
    assert before.values == {"exact_match": 0.0}
    assert after.values["exact_match"] == 1.0
    assert {example.answer for example in after.examples} == {"It is red."}
    assert all(example.correct for example in after.examples)


def test_the_rate_of_training_leaves_evaluation_out(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [0.0]

    def takes_long(*_: object) -> None:
        long[0] += 1_000.0

    clock = mock.Mock(monotonic=lambda: time.monotonic() + long[0])
    monkeypatch.setattr(callback, "time", clock)
    monkeypatch.setattr(worker._Work, "_sample", takes_long)
    ran = run_worker(make_spec(tmp_path, tiny_llama), tmp_path / "run")
    after_evaluation = next(m for m in ran.of(ev.Metrics) if m.step == 11)
    assert long[0] >= 1_000.0
    assert after_evaluation.values["step_seconds"] < 900.0
    rate = after_evaluation.values["tokens_per_second"]
    assert rate == pytest.approx(200 / after_evaluation.values["step_seconds"], rel=0.3)
