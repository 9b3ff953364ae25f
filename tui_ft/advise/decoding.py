"""How long generating answers takes: each token waits for the weights, or for Python.

A token of all answers together takes one pass through the model, which reads every weight once and
the keys and values of each answer: that is what it waits for on a fast program. transformers'
`generate`, which trl's trainers call without vLLM, is bound by launching kernels instead, at every
layer, whatever the card. The longer of the two counts. Figures for the second are ftui's own
guesses, not measured: hence the wide band.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tui_ft.memory.duration import card_value
from tui_ft.memory.step import BYTES, Step
from tui_ft.models import Architecture

BANDWIDTH: Final[dict[str, float]] = {
    "B200": 8000,
    "H200": 4800,
    "H100 PCIe": 2000,
    "H100 NVL": 3900,
    "H100": 3350,
    "A100": 1555,
    "A40": 696,
    "A30": 933,
    "A10G": 600,
    "A10": 600,
    "V100": 900,
    "T4": 320,
    "L40S": 864,
    "L40": 864,
    "L4": 300,
    "RTX PRO 6000": 1792,
    "RTX 6000 Ada": 960,
    "RTX A6000": 768,
    "RTX A5000": 768,
    "RTX 5090": 1792,
    "RTX 5080": 960,
    "RTX 4090": 1008,
    "RTX 4080": 717,
    "RTX 3090 Ti": 1008,
    "RTX 3090": 936,
    "RTX 3080": 760,
}
"""Memory bandwidth in 10^9 bytes a second, of NVIDIA's data sheets; of an A100 the one with 40 GB,
which is the slower one."""
_REACHED: Final = 0.6
_LAUNCHING: Final = {"full": 0.9e-3, "lora": 1.5e-3, "qlora": 2.2e-3}
"""Seconds that a layer takes to launch for one token: an adapter adds two products and a cast to
each linear layer, 4 bits the dequantising."""
_BAND: Final = (0.6, 1.8)


class Decoding(msgspec.Struct, frozen=True):
    """Seconds that one token of all answers takes together: at best, in between, at worst."""

    low: float
    expected: float
    high: float


def decoding(step: Step, model: Architecture, card: str) -> Decoding | None:
    """Return how long one token of the answers of ``step`` takes; None for a card not known.

    Args:
        step: its `generation` says how many answers there are, and how long they get.
        model: what answers.
        card: the GPU's name.
    """
    bandwidth, plan = card_value(card, BANDWIDTH), step.generation
    if bandwidth is None or plan is None:
        return None
    kind = "full" if step.adapter is None else "lora" if step.quantization is None else "qlora"
    width = BYTES[step.arithmetic or step.weights]
    weights = model.parameters * (0.53 if kind == "qlora" else width)
    cache = plan.rows * model.kv_cache_bytes(plan.prompt + plan.new // 2, width)
    reading = (weights + cache) / (bandwidth * 1e9)
    expected = max(reading / _REACHED, model.layers * _LAUNCHING[kind])
    low, high = _BAND
    return Decoding(max(reading, expected * low), expected, expected * high)
