"""Which figures the monitor's small charts show, by what a run has."""

from __future__ import annotations

from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory, describe
from tui_ft.screens.monitor.charts import SMALL_CHARTS


def _shown(**values: float) -> list[tuple[str, str]]:
    history = RunHistory()
    history.add(ev.Metrics(step=1, epoch=0.1, values=dict(values)))
    return [chart.shown(history) for chart in SMALL_CHARTS]


def test_how_a_run_is_trained_unless_there_is_more_to_say() -> None:
    figures = [figure for _, figure in _shown(loss=1.0, learning_rate=1e-4, grad_norm=1.0)]
    assert figures == ["learning_rate", "grad_norm", "tokens_per_second"]


def test_margins_and_accuracy_of_preferences_take_their_place() -> None:
    values = {"rewards/margins": 0.5, "rewards/accuracies": 0.9, "learning_rate": 1e-5}
    assert _shown(**values)[:2] == [
        ("reward margin", "rewards/margins"),
        ("reward accuracy", "rewards/accuracies"),
    ]
    assert _shown(margin=0.5, accuracy=0.9)[:2] == [("margin", "margin"), ("accuracy", "accuracy")]


def test_an_evaluation_says_how_much_was_told_apart() -> None:
    values = {"eval_loss": 0.5, "eval_rewards/accuracies": 0.875}
    evaluation = ev.Evaluation(step=3, epoch=0.5, values=dict(values))
    assert describe(evaluation) == "evaluation at step 3: loss 0.5, accuracy 87.5%"
    plain = ev.Evaluation(step=3, epoch=0.5, values={"eval_loss": 0.5})
    assert describe(plain) == "evaluation at step 3: loss 0.5"
