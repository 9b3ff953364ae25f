"""Orders of batches run from recorded steps, beside the same ones replayed step by step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.memory.models import LORA, TINY
from tui_ft.dryrun.replay import replay
from tui_ft.memory.question import EMPTY, EVALUATE
from tui_ft.memory.step import Generation, Step

_ORDERS = ((60, EMPTY, 250, 120, 60), (250, 60, EMPTY, 250, 155, 60))
_PROMPT: dict[str, Any] = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 22}


@pytest.mark.parametrize(
    "more",
    [
        {"adapter": LORA, "arithmetic": "bfloat16", "checkpointing": True},
        {"objective": "causal_lm", "holds_outputs": True, "holds_gradients": True, "cache": True},
        {"objective": "causal_lm", "adapter": _PROMPT},
    ],
    ids=["lora", "a plain loop", "learned tokens"],
)
def test_as_the_same_order_replayed(more: dict[str, Any]) -> None:
    step = Step(config=TINY, batch=4, length=250, padded=True, **more)
    found = replay(step, (), orders=_ORDERS, least=True)
    directly = [replay(step, order).reserved for order in _ORDERS]
    assert list(found.orders) == pytest.approx(directly, rel=0.01)
    assert found.allocated == replay(step, (250, 250)).allocated
    for least, reserved in zip(found.least, found.orders, strict=True):
        assert found.allocated <= least <= reserved


def test_answers_between_steps_add_to_what_is_cached() -> None:
    plan = Generation(rows=64, prompt=40, new=200)
    step = Step(config=TINY, batch=2, length=60, padded=True, adapter=LORA, generation=plan)
    without, with_answers = replay(step, (), orders=((60, 30, 60), (60, 30, EVALUATE, 60))).orders
    keys_and_values = 64 * 240 * 2 * 4 * 4 * 32 * 2  # rows, tokens, both, layers, heads, size
    assert with_answers - without > 0.5 * keys_and_values
