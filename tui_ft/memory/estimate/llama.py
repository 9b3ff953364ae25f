"""Layers laid out as Llama's on a tape: Mistral, Qwen, Gemma, Phi-3, OLMo, Granite, mixtures."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import attend
from tui_ft.memory.estimate.layers import Shapes, activated, norm, projected
from tui_ft.memory.estimate.tape import FLOAT32, Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer

_AFTER: Final = ("post_attention_layernorm", "post_feedforward_layernorm")


def layer(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return a layer's output: x + attention(norm(x)), then the same with the MLP.

    Gemma 2 and 3 normalise what comes out as well, OLMo 2 nothing else.
    """
    names = weights.norms
    around = "pre_feedforward_layernorm" in names
    before = "input_layernorm" in names
    residual = x
    if before:
        x = norm(tape, x, names["input_layernorm"], shapes)
    x = _attention(tape, x, weights, shapes)
    if around or not before:
        x = norm(tape, x, names[_AFTER[0]], shapes)
    x = _joined(tape, residual, x, shapes)
    residual = x
    if around:
        x = norm(tape, x, names["pre_feedforward_layernorm"], shapes)
    elif before:
        x = norm(tape, x, names["post_attention_layernorm"], shapes)
    x = _mlp(tape, x, weights, shapes)
    if around or not before:
        x = norm(tape, x, names[_AFTER[1]], shapes)
    return _joined(tape, residual, x, shapes)


def _joined(tape: Tape, residual: Tensor, x: Tensor, shapes: Shapes) -> Tensor:
    x = ops.dropout(tape, x, shapes.dropped("resid_pdrop"))
    if shapes.model.model_type.startswith("granite"):
        x = ops.scaled(tape, x)
    return ops.add(tape, residual, x)


def _attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    q, k, v = _queries_keys_values(tape, x, weights, shapes)
    part = _turned(shapes.config)
    keeps = shapes.model.model_type == "olmo"
    q = ops.rotary(tape, q, shapes.rotary_width, part=part, keeps=keeps)
    k = ops.rotary(tape, k, shapes.rotary_width, part=part, keeps=keeps)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    return projected(tape, out, weights, "o_proj")


def _queries_keys_values(
    tape: Tape, x: Tensor, weights: Layer, shapes: Shapes
) -> tuple[Tensor, Tensor, Tensor]:
    if "qkv_proj" in weights.linears:
        joined = projected(tape, x, weights, "qkv_proj")
        tokens = x.count // shapes.model.hidden_size
        one = tokens * shapes.model.head_dim
        keys = one * shapes.model.kv_heads
        q, k, v = ops.split(tape, joined, (one * shapes.model.heads, keys, keys))
        return q, k, v
    q = projected(tape, x, weights, "q_proj")
    k = projected(tape, x, weights, "k_proj")
    v = projected(tape, x, weights, "v_proj")
    if "q_norm" in weights.norms:
        q = norm(tape, q, weights.norms["q_norm"], shapes)
        k = norm(tape, k, weights.norms["k_norm"], shapes)
    return q, k, v


def _turned(config: Any) -> float:  # noqa: ANN401 - of a file
    """Return the share of a head that rotary positions turn."""
    nested = config.get("rope_parameters") or {}
    found = config.get("partial_rotary_factor") or nested.get("partial_rotary_factor")
    return float(found or 1.0)


def _mlp(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return down(act(gate(x)) * up(x))."""
    if weights.stacks:
        return _experts(tape, x, weights, shapes)
    if "gate_up_proj" in weights.linears:
        both = projected(tape, x, weights, "gate_up_proj")
        gate, up = ops.split(tape, both, (both.count // 2, both.count // 2))
        del both
        inner = ops.mul(tape, up, activated(tape, gate, shapes))
        del gate, up
        return projected(tape, inner, weights, "down_proj")
    gate = activated(tape, projected(tape, x, weights, "gate_proj"), shapes)
    inner = ops.mul(tape, gate, projected(tape, x, weights, "up_proj"))
    del gate
    return projected(tape, inner, weights, "down_proj")


def _experts(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return a mixture of experts, all experts as one: each token passes a few of them.

    transformers 5.23's experts: the tokens of an expert are copied, its gate and up projection are
    one product, and what comes out is scaled by the router's weight and summed up. Which expert
    gets how many tokens is data; together they are tokens times experts a token.
    """
    experts = shapes.model.experts
    if experts is None:
        raise ValueError("a layer with stacked weights has no experts")
    hidden = shapes.model.hidden_size
    tokens = x.count // hidden * experts.per_token
    out = ops.copied(tape, x)
    routed = ops.Matrix(hidden, experts.count, x.width)
    scores = ops.cast(tape, ops.linear(tape, x, routed), FLOAT32)
    chosen = Tensor(tokens, FLOAT32, Storage(tape, tokens * FLOAT32), scores.source)
    own = tape.make(tokens * hidden, x.width, ((x.source, x.size),), before=(x.size,))
    both = ops.linear(tape, own, _stack(weights, "gate_up_proj", hidden, 2 * experts.size))
    gate, up = ops.split(tape, both, (both.count // 2, both.count // 2))
    del both, own
    inner = ops.mul(tape, activated(tape, gate, shapes), up)
    del gate, up
    inner = ops.linear(tape, inner, _stack(weights, "down_proj", experts.size, hidden))
    weighted = ops.cast(tape, ops.mul(tape, inner, chosen), x.width)
    out = ops.add(tape, out, Tensor(out.count, x.width, None, weighted.source))
    if "up_proj" in weights.linears:  # experts that every token passes
        shared = activated(tape, projected(tape, x, weights, "gate_proj"), shapes)
        shared = ops.mul(tape, shared, projected(tape, x, weights, "up_proj"))
        out = ops.add(tape, out, projected(tape, shared, weights, "down_proj"))
    return out


def _stack(weights: Layer, name: str, inputs: int, outputs: int) -> ops.Matrix:
    """Return a stack of experts as one matrix, with the gradient of the whole stack."""
    held = weights.stacks[name]
    return ops.Matrix(inputs, outputs, held.width, held.source)
