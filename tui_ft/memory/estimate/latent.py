"""DeepSeek's latent attention on a tape (arXiv:2405.04434, section 2.1; arXiv:2412.19437)."""

from __future__ import annotations

from typing import Final

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import attend
from tui_ft.memory.estimate.layers import Shapes, norm, projected
from tui_ft.memory.estimate.llama import mlp
from tui_ft.memory.estimate.tape import FLOAT32, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer
from tui_ft.models.architecture import Latent

_COMPLEX: Final = "deepseek_v2"


def layer(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    """Return a layer's output: latent attention, then an MLP or a mixture of experts."""
    residual = x
    x = norm(tape, x, weights.norms["input_layernorm"], shapes)
    x = ops.add(tape, residual, _attention(tape, x, weights, shapes))
    residual = x
    x = norm(tape, x, weights.norms["post_attention_layernorm"], shapes)
    return ops.add(tape, residual, mlp(tape, x, weights, shapes))


def _attention(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes) -> Tensor:
    model = shapes.model
    latent = model.latent
    if latent is None:
        raise ValueError("a layer with latent attention has no latent vector")
    tokens = x.count // model.hidden_size
    q = _queries(tape, x, weights, shapes, latent)
    down = projected(tape, x, weights, "kv_a_proj_with_mqa")
    kv, k_turned = ops.split(tape, down, (tokens * latent.kv_rank, tokens * latent.rope_dim))
    del down, x
    kv = norm(tape, kv, weights.norms["kv_a_layernorm"], shapes)
    k_turned = _turned(tape, k_turned, shapes)
    k, v = _expanded(tape, projected(tape, kv, weights, "kv_b_proj"), k_turned, tokens, shapes)
    del kv, k_turned
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    return projected(tape, out, weights, "o_proj")


def _queries(tape: Tape, x: Tensor, weights: Layer, shapes: Shapes, latent: Latent) -> Tensor:
    """Return queries, of which the rotary part is turned and joined to the rest again."""
    if "q_proj" in weights.linears:
        q = projected(tape, x, weights, "q_proj")
    else:
        q = projected(tape, x, weights, "q_a_proj")
        q = norm(tape, q, weights.norms["q_a_layernorm"], shapes)
        q = projected(tape, q, weights, "q_b_proj")
    whole = latent.nope_dim + latent.rope_dim
    turned = q.count // whole * latent.rope_dim
    rest, part = ops.split(tape, q, (q.count - turned, turned))
    count = q.count
    del q
    part = _turned(tape, part, shapes)
    return tape.make(count, part.width, ((rest.source, 0), (part.source, 0)))


def _turned(tape: Tape, x: Tensor, shapes: Shapes) -> Tensor:
    """Return a rotary part: in pairs, or as complex numbers of float32 in V2."""
    if shapes.model.model_type == _COMPLEX:
        wide = tape.make(x.count, FLOAT32, ((x.source, x.size),), before=(x.count * FLOAT32,))
        tape.touch(x.count * FLOAT32)
        return ops.cast(tape, wide, x.width)
    wide_size = x.count * max(x.width, shapes.rotary_width)
    tape.touch(wide_size, wide_size)
    count = x.count
    return tape.make(count, wide_size // count, ((x.source, x.size),), before=(wide_size,) * 2)


def _expanded(
    tape: Tape, up: Tensor, turned: Tensor, tokens: int, shapes: Shapes
) -> tuple[Tensor, Tensor]:
    """Return keys and values for each head, from the latent vector.

    Values are views of what the projection gives. Keys are written part by part into a tensor of
    their own: each copy's derivative copies the whole gradient (torch, `CopySlices`).
    """
    model = shapes.model
    latent, heads = model.latent, model.heads
    if latent is None:
        raise ValueError("a layer with latent attention has no latent vector")
    counts = (tokens * heads * latent.nope_dim, tokens * heads * latent.v_dim)
    k, v = ops.split(tape, up, counts)
    count = tokens * heads * (latent.nope_dim + latent.rope_dim)
    size = count * up.width
    keys = tape.make(count, up.width, ((k.source, 0), (turned.source, turned.size)), before=(size,))
    return keys, v
