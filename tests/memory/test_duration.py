"""Durations against values worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.memory.models import LORA, TINY
from tui_ft.memory.duration import (
    TimedRun,
    Utilisation,
    duration,
    peak_flops,
    step_flops,
    utilisation,
)
from tui_ft.memory.step import Step, StepObjective

FORWARD = 2 * 1000 * 10  # 1,000 weights, 10 tokens


def _step(**more: object) -> Step:
    return Step(config=TINY, batch=3, length=10, **more)  # type: ignore[arg-type]


def test_full_fine_tuning_takes_six_operations_a_weight_and_token() -> None:
    assert step_flops(_step(), FORWARD) == 6 * 1000 * 10 * 3
    assert step_flops(_step(checkpointing=True), FORWARD) == 8 * 1000 * 10 * 3
    assert step_flops(_step(), FORWARD, passes=4) == 4 * 6 * 1000 * 10 * 3


def test_lora_takes_four_and_six_of_its_own() -> None:
    expected = (4 * 1000 + 6 * 50) * 10 * 3
    assert step_flops(_step(adapter=LORA), FORWARD, adapter=50) == expected
    again = expected + (2 * 1000 + 2 * 50) * 10 * 3
    assert step_flops(_step(adapter=LORA, checkpointing=True), FORWARD, adapter=50) == again


@pytest.mark.parametrize(
    ("objective", "forwards"), [("dpo", 2 * 4), ("orpo", 2 * 3), ("kto", 6), ("reward", 2 * 3)]
)
def test_pairs_and_references_cost_passes(objective: StepObjective, forwards: int) -> None:
    assert step_flops(_step(objective=objective), FORWARD) == 3 * forwards * FORWARD


def test_generating_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="how long grpo takes is not known"):
        step_flops(_step(objective="grpo"), FORWARD)


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA A10G", 70),
        ("NVIDIA A10", 125),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("Tesla T4", 65),
        ("Tesla V100-SXM2-32GB", 125),
        ("NVIDIA GeForce RTX 3090", 71),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA RTX 6000 Ada Generation", 364),
        ("NVIDIA RTX A6000", 154.8),
        ("NVIDIA B200", 2250),
    ],
)
def test_cards_by_the_drivers_names(name: str, tera: float) -> None:
    assert peak_flops(name) == pytest.approx(tera * 1e12)


def test_an_unknown_card_has_no_peak() -> None:
    assert peak_flops("NVIDIA GeForce GTX 1080") is None


def test_hours_by_hand() -> None:
    reached = Utilisation(low=0.25, expected=0.5, high=1.0)
    found = duration(1e15, 3600, 1e15, reached)
    assert (found.step_low, found.step, found.step_high) == (1.0, 2.0, 4.0)
    assert str(found) == "roughly 2.0 h (1.0 to 4.0), until runs on this machine are measured"
    measured = duration(1e15, 3600, 1e15, Utilisation(low=0.5, expected=0.5, high=0.5, runs=3))
    assert str(measured) == "2.0 h (2.0 to 2.0)"


def _run(share: float, method: str = "lora") -> TimedRun:
    return TimedRun(method=method, flops=share * 100.0, seconds=10.0, peak_flops=10.0)


def test_three_runs_of_a_method_measure_it() -> None:
    runs = [_run(0.2), _run(0.5), _run(0.3, "full")]
    assert utilisation(runs, "lora").runs == 0
    found = utilisation([*runs, _run(0.4)], "lora")
    assert (found.low, found.expected, found.high, found.runs) == (0.2, 0.4, 0.5, 3)
    assert utilisation([], "ia3") == utilisation([], "lora")


@given(st.lists(st.floats(0.01, 0.9), max_size=6))
def test_low_is_never_above_high(shares: list[float]) -> None:
    found = utilisation([_run(share) for share in shares], "lora")
    assert 0 < found.low <= found.expected <= found.high
    spent = duration(1e12, 10, 1e12, found)
    assert spent.low <= spent.expected <= spent.high
