"""The warning that training comes apart: given once, only when it does, and taken back."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from tui_ft.runs import events as ev
from tui_ft.train.loss_watch import LossWatch


def _said(losses: Iterable[float | None], **more: float) -> list[tuple[int, ev.Alert]]:
    watch = LossWatch()
    told = ((step, watch.look({"loss": loss, **more}, 3e-4)) for step, loss in enumerate(losses))
    return [(step, alert) for step, alert in told if alert is not None]


FALLS = [3 * math.exp(-step / 10) + 1 for step in range(40)]


def test_a_loss_that_rises_far_is_told_once_with_what_to_do() -> None:
    ((step, alert),) = _said([*FALLS, *([6.0] * 40)])
    assert 44 <= step <= 46
    assert (alert.severity, alert.kind) == ("warning", "divergence")
    assert "training loss has risen to " in alert.text
    assert "training.learning_rate 0.0001 or less" in str(alert.advice)


def test_it_is_taken_back_once_the_loss_is_down_again() -> None:
    said = _said([*FALLS, *([6.0] * 20), *([1.0] * 20), *([6.0] * 20)])
    assert [alert.severity for _, alert in said] == ["warning", "note", "warning"]
    assert {alert.kind for _, alert in said} == {"divergence"}


@pytest.mark.parametrize(
    "losses",
    [
        FALLS,
        [*FALLS, 9.0, *FALLS[-20:]],  # one bad step
        [1.0 + 0.3 * math.sin(step) for step in range(100)],
        [0.02, *([0.01] * 30), *([0.06] * 30)],  # many times as high, and still nothing
        [8.0] * 9 + [20.0],  # too few to tell
        [None] * 30,
    ],
)
def test_what_is_no_divergence_is_not_told(losses: list[float | None]) -> None:
    assert _said(losses) == []


def test_where_answers_are_rewarded_the_loss_says_nothing() -> None:
    assert _said([*FALLS, *([6.0] * 40)], reward=0.5) == []
