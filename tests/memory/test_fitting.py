"""What fits a GPU, and which change frees most."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.memory.models import LLAMA_3B, LORA, TINY
from tui_ft.memory.allocator import GIB
from tui_ft.memory.estimate import estimate
from tui_ft.memory.figure import Figure
from tui_ft.memory.fitting import Quantity, changes, largest
from tui_ft.memory.step import Step

STEP = Step(config=LLAMA_3B, batch=2, length=1024, adapter=LORA, arithmetic="bfloat16")


def _high(step: Step) -> int:
    found = estimate(step, careful=True)
    assert isinstance(found, Figure)
    return found.high


@pytest.mark.parametrize(("quantity", "unit"), [("batch", 1), ("length", 64), ("rank", 1)])
def test_the_largest_fits_and_the_next_does_not(quantity: Quantity, unit: int) -> None:
    free = 24 * GIB
    most = largest(STEP, free, quantity)
    assert most > 0
    for value, fits in ((most, True), (most + unit, False)):
        change: dict[str, Any] = {quantity: value}
        if quantity == "rank":
            change = {"adapter": {**LORA, "r": value}}
        assert (_high(msgspec.structs.replace(STEP, **change)) <= free) is fits


def test_what_never_fits_is_0_and_full_fine_tuning_has_no_rank() -> None:
    assert largest(STEP, 4 * GIB, "batch") == 0
    assert largest(msgspec.structs.replace(STEP, adapter=None), 80 * GIB, "rank") == 0


def test_rows_are_no_longer_than_the_model_can_read() -> None:
    step = Step(config=TINY, batch=1, length=128, adapter=LORA)
    assert largest(step, 80 * GIB, "length") == TINY["max_position_embeddings"]


def test_changes_are_ordered_by_what_they_free() -> None:
    found = changes(STEP)
    freed = [change.freed for change in found]
    assert freed == sorted(freed, reverse=True)
    assert all(size > 0 for size in freed)
    names = {change.name for change in found}
    assert {"checkpointing", "batch 1", "qlora", "length"} <= names
    for change in found:
        figure = estimate(change.step)
        assert isinstance(figure, Figure)
        assert figure.expected == change.expected
    again = changes(msgspec.structs.replace(STEP, checkpointing=True))
    assert "checkpointing" not in {change.name for change in again}


def test_full_fine_tuning_can_become_lora_and_logits_a_fused_head() -> None:
    full = Step(
        config=LLAMA_3B,
        batch=2,
        length=1024,
        weights="float32",
        arithmetic="bfloat16",
        objective="causal_lm",
        attention="eager",
    )
    names = {change.name for change in changes(full)}
    assert {"lora", "bfloat16", "8-bit optimizer", "fused head", "attention"} <= names
