"""Which layer a family has, and which attention transformers takes for it."""

from __future__ import annotations

from typing import Final

from tui_ft.memory.estimate import classic, llama
from tui_ft.memory.estimate.layers import Forward
from tui_ft.models.architecture import Architecture

_FORWARDS: Final[dict[str, Forward]] = {
    "gpt2": classic.gpt2,
    "gpt_neox": classic.gpt_neox,
    "falcon": classic.falcon,
    "opt": classic.opt,
    "bloom": classic.bloom,
    "bert": classic.bert,
    "roberta": classic.bert,
}
CHECKED: Final = (
    "llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "gemma2", "gemma3_text", "phi3",
    "granite", "olmo", "olmo2", "gpt2", "gpt_neox", "falcon", "opt", "bloom", "bert", "roberta",
)
EAGER: Final = ("gemma2", "bloom")


def forward_of(model: Architecture) -> Forward:
    return _FORWARDS.get(model.model_type, llama.layer)
