from __future__ import annotations

import pytest

from tests.memory.models import LLAMA_8B
from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.situation import GpuFacts
from tui_ft.memory.duration import TimedRun
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step
from tui_ft.plan.estimator import ClosedForm

STEP = Step(config=LLAMA_8B, batch=4, length=1024, arithmetic="bfloat16", checkpointing=True)
LORA = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
H100 = GpuFacts(index=0, name="NVIDIA H100 80GB HBM3")


def work(step: Step = STEP, gpu: GpuFacts | None = H100) -> Work:
    return Work(step=step, passes=1_000, mean_length=512, gpu=gpu)


def seconds(found: Seconds | Unknown) -> float:
    assert isinstance(found, Seconds), found
    return found.expected


def test_memory_is_the_closed_forms_and_asked_once() -> None:
    asked = ClosedForm()
    found = asked.memory(STEP, None)
    assert found == estimate(STEP, careful=True)
    assert asked.memory(STEP, None) is found
    spread = asked.memory(STEP, Sharding(kind="fsdp", gpus=8))
    assert isinstance(spread, Figure)
    assert isinstance(found, Figure)
    assert spread.expected < found.expected / 2


def test_a_rough_figure_is_near_and_below_what_is_reserved() -> None:
    asked = ClosedForm()
    rough, careful = asked.rough(STEP, None), asked.memory(STEP, None)
    assert isinstance(rough, Figure)
    assert isinstance(careful, Figure)
    assert rough.low == careful.low < careful.expected < rough.high * 1.15
    assert asked.rough(STEP, None) is rough


def test_what_is_no_model_is_said_in_words() -> None:
    step = Step(config={"model_type": "nothing-known"}, batch=1, length=8)
    assert isinstance(ClosedForm().memory(step, None), Unknown)
    assert isinstance(ClosedForm().seconds(work(step)), Unknown)
    assert isinstance(ClosedForm().seconds(work(gpu=None)), Unknown)


def test_time_goes_by_operations_and_the_cards_peak() -> None:
    full = seconds(ClosedForm().seconds(work()))
    # Eight operations a weight and token with recomputation, at 35 % of 989 TFLOP/s.
    assert full == pytest.approx(8 * 8.03e9 * 4 * 512 * 1_000 / (0.35 * 989e12), rel=0.1)
    lora = Step(config=LLAMA_8B, batch=4, length=1024, adapter=LORA, checkpointing=True)
    assert seconds(ClosedForm().seconds(work(lora))) < full


def test_finished_runs_make_it_less_rough() -> None:
    run = TimedRun(method="full", flops=989e12 * 0.1 * 60, seconds=60, peak_flops=989e12)
    measured = seconds(ClosedForm([run] * 3).seconds(work()))
    assert measured == pytest.approx(3.5 * seconds(ClosedForm().seconds(work())), rel=0.01)
