"""Mixtures of experts on a tape, all experts of a layer as one: each token passes a few of them."""

from __future__ import annotations

from typing import Final

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.layers import Shapes, activated, projected
from tui_ft.memory.estimate.ops import Matrix
from tui_ft.memory.estimate.tape import FLOAT32, Sink, Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer

_LONG: Final = 8
_WIDE_SCORES: Final = ("mixtral", "deepseek_v2")
"""Families whose router's weights stay float32, and with them what comes out of the experts."""
_TRANSPOSED: Final = ("gpt_oss",)
_WIDE_WITHOUT_AUTOCAST: Final = ("deepseek_v3",)


def mixture(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return what comes out of the experts, and of those that every token passes.

    transformers 5.23, integrations/moe.py, `grouped_mm_experts_forward`: the tokens of an expert
    are copied, its gate and up projection are one product, what comes out is scaled by the router's
    weight, put into the tokens' order again, and summed up. Which expert gets how many tokens is
    data; together they are tokens times experts a token.
    """
    experts = shapes.model.experts
    if experts is None:
        raise ValueError("a layer with stacked weights has no experts")
    hidden = shapes.model.hidden_size
    tokens = x.count // hidden * experts.per_token
    shared = _shared(tape, x, weights, shapes) if "shared_expert_gate" in weights.linears else None
    wide = shapes.model.model_type in _WIDE_SCORES
    wide |= tape.low is None and shapes.model.model_type in _WIDE_WITHOUT_AUTOCAST
    scores = _routed(tape, x, weights, shapes)
    width = FLOAT32 if wide else x.width
    places = Storage(tape, tokens * _LONG)
    chosen = Tensor(tokens, width, Storage(tape, tokens * width), scores.source)
    own = tape.make(tokens * hidden, x.width, ((x.source, x.size),), (places,), before=(x.size,))
    held = [own.storage, places]  # Python's names, which last until the function is over
    biased = "down_proj_bias" in weights.stacks
    bias = Storage(tape, 2 * tokens * experts.size * x.width) if biased else None
    gate_up = _stack(tape, weights, "gate_up_proj", (hidden, 2 * experts.size), shapes)
    both = ops.linear(tape, own, gate_up)
    inner = _gated(tape, both, shapes)
    del both, bias
    if biased:
        held.append(Storage(tape, tokens * hidden * x.width))
    down = _stack(tape, weights, "down_proj", (experts.size, hidden), shapes)
    out = ops.linear(tape, inner, down)
    held.append(out.storage)
    del inner, own
    out = ops.mul(tape, out, chosen)
    places = Storage(tape, tokens * _LONG)
    out = tape.make(out.count, out.width, ((out.source, out.size),), (places,))
    held.append(out.storage)
    # Autocast sums up to float32.
    width = FLOAT32 if tape.low is not None else out.width
    out = tape.make(x.count, width, ((out.source, 0 if width == out.width else out.size),))
    out = ops.cast(tape, out, x.width)
    held.clear()
    del chosen, places
    if shared is None and "up_proj" in weights.linears:
        shared = _shared(tape, x, weights, shapes)
    return ops.add(tape, out, shared) if shared is not None else out


def _gated(tape: Tape, both: Tensor, shapes: Shapes) -> Tensor:
    """Return act(gate) * up; in gpt-oss (up + 1) * gate * sigmoid(gate), both of them clamped."""
    gate, up = ops.split(tape, both, (both.count // 2, both.count // 2))
    if shapes.model.model_type != "gpt_oss":
        return ops.mul(tape, activated(tape, gate, shapes), up)
    gate = ops.activation(tape, gate)
    up = ops.activation(tape, up)
    bent = ops.mul(tape, gate, ops.activation(tape, ops.scaled(tape, gate), reads_output=True))
    return ops.mul(tape, ops.scaled(tape, up), bent)


def _routed(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return the router's scores; DeepSeek computes them in float32, of a copy that is kept."""
    experts = shapes.model.experts
    hidden, count = shapes.model.hidden_size, experts.count if experts is not None else 1
    if not shapes.model.model_type.startswith("deepseek"):
        return ops.cast(tape, ops.linear(tape, x, Matrix(hidden, count, x.width)), FLOAT32)
    held = weights.stacks["weight"]
    routed = Matrix(hidden, count, FLOAT32, held.source)
    return ops.linear(tape, ops.cast(tape, x, FLOAT32), routed)


def _shared(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return what every token passes beside the experts, with its own gate in Qwen2's mixtures."""
    inner = activated(tape, projected(tape, x, weights, "gate_proj"), shapes)
    inner = ops.mul(tape, inner, projected(tape, x, weights, "up_proj"))
    out = projected(tape, inner, weights, "down_proj")
    if "shared_expert_gate" not in weights.linears:
        return out
    open_to = ops.activation(tape, projected(tape, x, weights, "shared_expert_gate"))
    return ops.mul(tape, open_to, out)


def _stack(tape: Tape, weights: Layer, name: str, sizes: tuple[int, int], shapes: Shapes) -> Matrix:
    """Return a stack of experts as one matrix, with the gradient of the whole stack.

    The product reads the weights transposed, and so its gradient is: before autograd keeps it, it
    is copied into the weights' own order (torch/csrc/autograd/functions/accumulate_grad.h).
    gpt-oss holds them transposed.
    """
    held = weights.stacks[name]
    source: Sink | None = held.source
    if source is not None and shapes.model.model_type not in _TRANSPOSED:
        source = tape.record(((source, held.outputs * held.width),))
    return Matrix(*sizes, held.width, source)
