"""Layers laid out as Llama's on a tape: Mistral, Qwen, Gemma, Phi-3, OLMo, Granite, mixtures."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import attend
from tui_ft.memory.estimate.experts import mixture
from tui_ft.memory.estimate.layers import Shapes, activated, norm, projected
from tui_ft.memory.estimate.tape import Tape, Tensor
from tui_ft.memory.estimate.weights import Layer

_TURNED: Final = {"glm": 0.5, "glm4": 0.5}
"""Share of a head that is turned where a config.json does not say it."""
_KEEPS: Final = ("olmo", "ernie4_5")
"""Families that turn positions in float32, and go back to the type of the queries."""
_Places = tuple[str | None, str | None, str | None, str | None]


def layer(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return a layer's output: x + attention(norm(x)), then the same with the MLP.

    Gemma 2 and 3 and GLM-4 normalise what comes out as well, OLMo 2 nothing else.
    """
    before, after, before_mlp, after_mlp = _places(weights)
    residual = x
    x = _normed(tape, x, weights, before, shapes)
    x = _attention(tape, x, weights, shapes)
    x = _normed(tape, x, weights, after, shapes)
    x = _joined(tape, residual, x, shapes)
    residual = x
    x = _normed(tape, x, weights, before_mlp, shapes)
    x = mlp(tape, x, weights, shapes)
    x = _normed(tape, x, weights, after_mlp, shapes)
    return _joined(tape, residual, x, shapes)


def _places(weights: Layer) -> _Places:
    """Return the norms before and after the attention, and before and after the MLP."""
    first, second = "input_layernorm", "post_attention_layernorm"
    last = "post_feedforward_layernorm"
    if "post_self_attn_layernorm" in weights.norms:
        return first, "post_self_attn_layernorm", second, "post_mlp_layernorm"
    if "pre_feedforward_layernorm" in weights.norms:
        return first, second, "pre_feedforward_layernorm", last
    return (first, None, second, None) if first in weights.norms else (None, second, None, last)


def _normed(tape: Tape, x: Tensor, weights: Layer, name: str | None, shapes: Shapes) -> Tensor:
    return x if name is None else norm(tape, x, weights.norms[name], shapes)


def _joined(tape: Tape, residual: Tensor, x: Tensor, shapes: Shapes) -> Tensor:
    x = ops.dropout(tape, x, shapes.dropped("resid_pdrop", "residual_dropout"))
    if shapes.model.model_type.startswith("granite"):
        x = ops.scaled(tape, x)
    return ops.add(tape, residual, x)


def _attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    q, k, v = _queries_keys_values(tape, x, weights, shapes)
    part = turned_share(shapes.config, _TURNED.get(shapes.model.model_type, 1.0))
    keeps = shapes.model.model_type in _KEEPS
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


def turned_share(config: Any, usual: float = 1.0) -> float:  # noqa: ANN401 - of a file
    """Return the share of a head that rotary positions turn."""
    nested = config.get("rope_parameters") or {}
    found = config.get("partial_rotary_factor") or nested.get("partial_rotary_factor")
    return float(found or usual)


def mlp(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return down(act(gate(x)) * up(x)), or down(act(up(x))) where there is no gate."""
    if "gate_up_proj" in weights.stacks:
        return mixture(tape, x, weights, shapes)
    if not shapes.model.gated:
        names = ("c_fc", "c_proj") if "c_fc" in weights.linears else ("up_proj", "down_proj")
        inner = activated(tape, projected(tape, x, weights, names[0]), shapes)
        return projected(tape, inner, weights, names[1])
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
