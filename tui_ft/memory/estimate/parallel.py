"""Layers whose attention and MLP read the same norm, side by side: Cohere, Phi-2, GPT-J."""

from __future__ import annotations

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import attend
from tui_ft.memory.estimate.layers import Shapes, activated, norm, projected
from tui_ft.memory.estimate.llama import mlp, turned_share
from tui_ft.memory.estimate.tape import FLOAT32, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer


def cohere(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Command R: positions are turned in float32, or, in R7B, only where there is a window."""
    residual = x
    x = norm(tape, x, weights.norms["input_layernorm"], shapes)
    q = projected(tape, x, weights, "q_proj")
    k = projected(tape, x, weights, "k_proj")
    v = projected(tape, x, weights, "v_proj")
    if "q_norm" in weights.norms:
        q = norm(tape, q, weights.norms["q_norm"], shapes)
        k = norm(tape, k, weights.norms["k_norm"], shapes)
    if shapes.model.window is None or shapes.windowed:
        q = ops.rotary(tape, q, FLOAT32, keeps=True)
        k = ops.rotary(tape, k, FLOAT32, keeps=True)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    out = projected(tape, out, weights, "o_proj")
    beside = mlp(tape, x, weights, shapes)
    del x
    return ops.add(tape, ops.add(tape, residual, out), beside)


def phi(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Phi-1.5 and Phi-2: a part of each head is turned."""
    dropped = shapes.dropped("resid_pdrop")
    residual = x
    x = norm(tape, x, weights.norms["input_layernorm"], shapes)
    q = projected(tape, x, weights, "q_proj")
    k = projected(tape, x, weights, "k_proj")
    v = projected(tape, x, weights, "v_proj")
    if "q_layernorm" in weights.norms:
        q = norm(tape, q, weights.norms["q_layernorm"], shapes)
        k = norm(tape, k, weights.norms["k_layernorm"], shapes)
    part = turned_share(shapes.config, 0.5)
    q = ops.rotary(tape, q, shapes.rotary_width, part=part)
    k = ops.rotary(tape, k, shapes.rotary_width, part=part)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    out = ops.dropout(tape, projected(tape, out, weights, "dense"), dropped)
    beside = activated(tape, projected(tape, x, weights, "fc1"), shapes)
    del x
    beside = ops.dropout(tape, projected(tape, beside, weights, "fc2"), dropped)
    return ops.add(tape, ops.add(tape, out, beside), residual)


def gpt_j(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """GPT-J: attention in plain operations, its scores in float32."""
    dropped = shapes.dropped("resid_pdrop")
    residual = x
    x = norm(tape, x, weights.norms["ln_1"], shapes)
    q = projected(tape, x, weights, "q_proj")
    k = projected(tape, x, weights, "k_proj")
    v = projected(tape, x, weights, "v_proj")
    share = (shapes.config.get("rotary_dim") or 64) / shapes.model.head_dim
    k = ops.rotary(tape, k, shapes.rotary_width, part=share)
    q = ops.rotary(tape, q, shapes.rotary_width, part=share)
    out = attend(tape, ops.cast(tape, q, FLOAT32), ops.cast(tape, k, FLOAT32), v, shapes.attending)
    del q, k, v
    out = ops.copied(tape, out)
    out = ops.dropout(tape, projected(tape, out, weights, "out_proj"), dropped)
    beside = activated(tape, projected(tape, x, weights, "fc_in"), shapes)
    del x
    beside = ops.dropout(tape, projected(tape, beside, weights, "fc_out"), dropped)
    return ops.add(tape, ops.add(tape, out, beside), residual)
