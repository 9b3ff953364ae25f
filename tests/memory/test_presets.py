"""Every preset has a figure of its memory, and one named after a card fits that card."""

from __future__ import annotations

from typing import Final

import pytest

from tui_ft.memory.cards import fit
from tui_ft.memory.estimate import estimate
from tui_ft.memory.figure import Figure
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.spec import find_presets

STAND_INS: Final = {
    "classify-encoder": "FacebookAI/roberta-base",
    "demo": "Qwen/Qwen2.5-0.5B-Instruct",
    "ppo-lora": "Qwen/Qwen2.5-1.5B-Instruct",
    "sft-style-8gb": "Qwen/Qwen2.5-3B-Instruct",
    "sft-qlora-24gb": "meta-llama/Llama-3.1-8B-Instruct",
}
"""The model that a preset is looked at with, where it is not one of 7B."""
USUAL: Final = "Qwen/Qwen2.5-7B-Instruct"
CARDS: Final = {"sft-style-8gb": 8, "sft-qlora-24gb": 24, "sft-8bit": 24, "sft-long-context": 48}
GIB: Final = 1 << 30


def _figure(name: str) -> Figure:
    model = STAND_INS.get(name, USUAL)
    filled = (f"model.name_or_path={model}", "data.train=d.jsonl")
    config = model_facts(model).config
    assert config is not None, model
    found = estimate(step_of(find_presets()[name].build(filled), config), careful=True)
    assert isinstance(found, Figure), found
    return found


def test_there_are_at_least_twenty() -> None:
    assert len(find_presets()) >= 20


@pytest.mark.parametrize("name", sorted(find_presets()))
def test_a_preset_has_a_figure(name: str) -> None:
    found = _figure(name)
    assert 0 < found.low <= found.expected <= found.high < 400 * GIB


@pytest.mark.parametrize(("name", "card"), CARDS.items())
def test_a_preset_made_for_a_card_fits_it(name: str, card: int) -> None:
    free = int(card * GIB * 0.94)  # what the driver and CUDA leave
    assert fit(_figure(name), free) == "fits", _figure(name)
