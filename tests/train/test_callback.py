"""The warning of overfitting: given once, only when it is one, and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from tui_ft.runs import events as ev
from tui_ft.train.callback import RunCallback


@dataclass
class Line:
    """A line to nobody that keeps what is said."""

    said: list[ev.Event] = field(default_factory=list)
    stop_requested: bool = False
    orphaned: bool = False

    def take_checkpoint_request(self) -> bool:
        return False

    def send(self, event: ev.Event) -> None:
        self.said.append(event)


def _alerts(tmp_path: Path, losses: list[tuple[float, float]]) -> list[tuple[str, str]]:
    """Return (severity, text) of the alerts that a run with these (loss, eval_loss) gives."""
    line: Any = Line()
    callback = RunCallback(line, lambda **_: True, lambda _: None)
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none")
    state, control = TrainerState(max_steps=len(losses)), TrainerControl()
    callback.on_train_begin(arguments, state, control)
    for loss, eval_loss in losses:
        state.global_step += 1
        callback.on_log(arguments, state, control, logs={"loss": loss, "num_tokens": 10.0})
        state.log_history.append({"eval_loss": eval_loss, "step": state.global_step})
        callback.on_evaluate(arguments, state, control, metrics={"eval_loss": eval_loss})
    return [(e.severity, e.text) for e in line.said if isinstance(e, ev.Alert)]


def test_evaluation_loss_that_rises_twice_while_training_falls_is_told_once(tmp_path: Path) -> None:
    losses = [(3.0, 2.0), (2.5, 1.5), (2.0, 1.6), (1.5, 1.7), (1.0, 1.8), (0.5, 1.9)]
    ((severity, text),) = _alerts(tmp_path, losses)
    assert severity == "warning"
    assert "now 1.7" in text
    assert "lowest was 1.5" in text


@pytest.mark.parametrize(
    "losses",
    [
        [(3.0, 2.0), (2.5, 1.5), (2.0, 1.6), (1.5, 1.4), (1.0, 1.5), (0.5, 1.3)],
        [(3.0, 2.0), (3.1, 2.1), (3.2, 2.2), (3.3, 2.3)],
        [(3.0, 2.0), (2.5, 2.001), (2.0, 2.002), (1.5, 2.003)],
    ],
    ids=["up and down", "both rise", "within the noise"],
)
def test_what_is_no_overfitting_is_not_told(
    tmp_path: Path, losses: list[tuple[float, float]]
) -> None:
    assert _alerts(tmp_path, losses) == []


def test_the_warning_is_taken_back_at_a_new_lowest(tmp_path: Path) -> None:
    losses = [(3.0, 1.5), (2.5, 1.6), (2.0, 1.7), (1.5, 1.4)]
    severities = [severity for severity, _ in _alerts(tmp_path, losses)]
    assert severities == ["warning", "note"]


def test_rewards_that_are_all_alike_are_told_once_and_taken_back(tmp_path: Path) -> None:
    line: Any = Line()
    callback = RunCallback(line, lambda **_: True, lambda _: None)
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none")
    state, control = TrainerState(max_steps=30), TrainerControl()
    callback.on_train_begin(arguments, state, control)
    for share in (1.0, 0.5, *[1.0] * 12, 0.75, 1.0):
        state.global_step += 1
        logs = {"loss": 0.0, "reward": 0.0, "frac_reward_zero_std": share}
        callback.on_log(arguments, state, control, logs=logs)
    told = [(e.severity, e.kind) for e in line.said if isinstance(e, ev.Alert)]
    assert told == [("warning", "alike_rewards"), ("note", "alike_rewards")]
    steps = [e.step for e in line.said if isinstance(e, ev.Metrics)]
    place = next(n for n, e in enumerate(line.said) if isinstance(e, ev.Alert))
    assert sum(isinstance(e, ev.Metrics) for e in line.said[:place]) == 12
    assert len(steps) == 16
