"""Memory by arithmetic, until the closed form answers: counts are exact, activations are not.

Parameters, adapters and optimizer states are counted from the architecture. What autograd keeps of
a layer is `40 H + 10 I` bytes a token for a hidden size H and an intermediate size I in 16 bits,
read off replayed steps of Llama-3.1-8B; the band is wide for that reason.
"""

from __future__ import annotations

import math
from typing import Any, Final

from tui_ft.advise.estimator import Seconds, Sharding, Work
from tui_ft.advise.timing import seconds_of
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import CONTEXT, Figure, Term
from tui_ft.memory.states import optimizer_states
from tui_ft.memory.step import BYTES, Step
from tui_ft.models.architecture import Architecture
from tui_ft.models.reading import architecture_of
from tui_ft.models.targets import AdapterError
from tui_ft.models.trainable import trainable_parameters
from tui_ft.models.values import ArchitectureError

_HIDDEN_BYTES: Final = 40
_INNER_BYTES: Final = 10
_FOUR_BITS: Final = 4.127 / 8
"""Bytes a weight of nf4 with double quantisation (arXiv:2305.14314, section 3)."""
_HEAD_TILE: Final = 4096 * 32768 * 4
_LOW: Final = 0.88
_HIGH: Final = 1.12


class Rough:
    """An `Estimator` by arithmetic."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[dict[str, Any], Architecture | str]] = {}

    def memory(self, step: Step, sharding: Sharding, gpus: int) -> Figure | Unknown:
        """Return the peak on each GPU."""
        found = self._architecture(step.config)
        if isinstance(found, str):
            return Unknown(found)
        try:
            trained = _trained(found, step)
        except AdapterError as error:
            return Unknown(str(error))
        shards = gpus if sharding == "fsdp" else 1
        parts = {
            "weights": _weights(found, step) / shards,
            "trained": _learning(step, trained) / shards,
            "activations": _activations(found, step),
            "loss": _loss(found, step),
            "gathered": 4 * found.parameters / found.layers if shards > 1 else 0,
            "CUDA context": CONTEXT,
        }
        expected = int(sum(parts.values()))
        return Figure(
            low=int(expected * _LOW),
            expected=expected,
            high=int(expected * _HIGH),
            terms=tuple(Term(name, int(size)) for name, size in parts.items()),
            stage="backward",
            source="estimate",
            trainable_parameters=trained,
            parameters=found.parameters,
        )

    def seconds(self, work: Work) -> Seconds | Unknown:
        """Return how long the work takes."""
        found = self._architecture(work.step.config)
        if isinstance(found, str):
            return Unknown(found)
        try:
            return seconds_of(work, found, _trained(found, work.step))
        except AdapterError as error:
            return Unknown(str(error))

    def _architecture(self, config: dict[str, Any]) -> Architecture | str:
        known = self._known.get(id(config))
        if known is None:
            try:
                found: Architecture | str = architecture_of(config)
            except ArchitectureError as error:
                found = str(error)
            known = self._known[id(config)] = (config, found)
        return known[1]


def _trained(model: Architecture, step: Step) -> int:
    adapter = step.adapter
    if adapter is None:
        return model.parameters
    if adapter["peft_type"] != "LORA":
        return int(adapter.get("num_virtual_tokens", 0)) * model.hidden_size
    return trainable_parameters(model, adapter)


def _weights(model: Architecture, step: Step) -> float:
    whole = model.parameters * BYTES[step.weights]
    if step.holds_reference:
        whole *= 2
    if step.quantization is None:
        return whole
    inner = sum(
        linear.weights * linear.count
        for linear in model.linears
        if linear is not model.output and linear.kind != "FalconLinear"
    )
    return whole + inner * (_FOUR_BITS - BYTES[step.weights])


def _learning(step: Step, trained: int) -> float:
    """Return gradients and states, the adapter itself, and casts of trained weights."""
    dtype = step.adapter_dtype if step.adapter is not None else step.weights
    size = BYTES[dtype]
    states = sum(state.size for state in optimizer_states(step.optim, (1 << 20,), dtype)) / (
        1 << 20
    )
    own = size if step.adapter is not None else 0
    cast = 2 if step.arithmetic is not None and dtype == "float32" else 0
    return trained * (size + states + own + cast)


def _activations(model: Architecture, step: Step) -> float:
    tokens = step.batch * step.length * (2 if step.objective in ("dpo", "orpo") else 1)
    wide = 2 if step.arithmetic is None and step.weights == "float32" else 1
    inner = model.intermediate_size
    if model.experts is not None:
        inner = model.experts.size * model.experts.per_token + model.experts.shared_size
    layer = tokens * wide * (_HIDDEN_BYTES * model.hidden_size + _INNER_BYTES * inner)
    if step.padded and step.attention != "flash_attention_2":
        layer += 4 * step.batch * step.length**2 + 8 * tokens * model.heads * model.head_dim
    if not step.checkpointing:
        return layer * model.layers
    return layer + 2 * wide * tokens * model.hidden_size * model.layers


def _loss(model: Architecture, step: Step) -> float:
    tokens = step.batch * step.length
    if step.objective == "sft":
        tiles = min(1.0, math.ceil(tokens * step.supervised) * model.vocab_size * 4 / _HEAD_TILE)
        return 2 * tiles * _HEAD_TILE + 4 * tokens * model.hidden_size
    if step.objective == "classification":
        return 4.0 * tokens * model.hidden_size
    return 10.0 * tokens * model.vocab_size * (2 if step.objective in ("dpo", "orpo") else 1)
