"""A layer of each family on a tape, line by line as transformers 5.23 computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import Attending, attend
from tui_ft.memory.estimate.tape import FLOAT32, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer, LowRank
from tui_ft.models.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Shapes:
    """What all operations of a layer share.

    Attributes:
        model: the architecture.
        attending: of the attention.
        tokens: rows times length.
        rotary_width: bytes of a number of cosine and sine.
        quantised: the linear layers are bitsandbytes' own.
        autocast: autocast is on, whatever the weights' type.
    """

    model: Architecture
    attending: Attending
    tokens: int
    rotary_width: int
    quantised: bool
    autocast: bool


Forward = Callable[[Tape, Tensor, Layer, Shapes], Tensor]


def projected(tape: Tape, x: Tensor, layer: Layer, name: str, shapes: Shapes) -> Tensor:
    """Return a linear layer's output, with the adapter that stands beside it."""
    matrix = layer.linears[name]
    beside = layer.adapters.get(name)
    if beside is not None:
        return _with_lora(tape, x, matrix, beside, shapes)
    scale = layer.scales.get(name)
    if scale is not None:
        return _with_ia3(tape, x, matrix, scale)
    return ops.linear(tape, x, matrix)


def _with_lora(
    tape: Tape, x: Tensor, matrix: ops.Matrix, beside: LowRank, shapes: Shapes
) -> Tensor:
    """Return W x + B A x s (peft 0.21, tuners/lora/layer.py and bnb.py).

    The input is cast to the adapter's type for each target, and its copy is kept; over a quantised
    base the output is cloned first, and under autocast the input stays as it is.
    """
    result = ops.linear(tape, x, matrix)
    width = result.width
    if shapes.quantised:
        result = ops.copied(tape, result)
    if not (shapes.quantised and shapes.autocast):
        x = ops.cast(tape, x, beside.down.width)
    if beside.magnitude is not None:
        raise NotImplementedError
    update = ops.linear(tape, ops.dropout(tape, x, beside.dropout), beside.down)
    update = ops.scaled(tape, ops.linear(tape, update, beside.up))
    if shapes.quantised and not shapes.autocast:
        update = ops.cast(tape, update, width)
    return ops.cast(tape, ops.add(tape, result, update), width)


def _with_ia3(tape: Tape, x: Tensor, matrix: ops.Matrix, scale: ops.Matrix) -> Tensor:
    """Return IA3's scaled product (arXiv:2205.05638): of the input, or of the output."""
    raise NotImplementedError


def llama(tape: Tape, x: Tensor, layer: Layer, shapes: Shapes) -> Tensor:
    """A pre-norm layer: x + attention(norm(x)), then the same with the MLP."""
    residual = x
    x = norm(tape, x, layer, "input_layernorm", shapes)
    x = _attention(tape, x, layer, shapes)
    x = ops.add(tape, residual, x)
    residual = x
    x = norm(tape, x, layer, "post_attention_layernorm", shapes)
    x = _gated_mlp(tape, x, layer, shapes)
    return ops.add(tape, residual, x)


def norm(tape: Tape, x: Tensor, layer: Layer, name: str, shapes: Shapes) -> Tensor:
    """Return a norm of the family's kind."""
    weight = layer.norms[name]
    if shapes.model.norm == "rms":
        return ops.rms_norm(tape, x, weight.outputs, weight)
    return ops.layer_norm(tape, x, weight.outputs, weight)


def _attention(tape: Tape, x: Tensor, layer: Layer, shapes: Shapes) -> Tensor:
    q = projected(tape, x, layer, "q_proj", shapes)
    k = projected(tape, x, layer, "k_proj", shapes)
    v = projected(tape, x, layer, "v_proj", shapes)
    q = ops.rotary(tape, q, shapes.rotary_width)
    k = ops.rotary(tape, k, shapes.rotary_width)
    out = attend(tape, q, k, v, shapes.attending)
    del q, k, v
    return projected(tape, out, layer, "o_proj", shapes)


def _gated_mlp(tape: Tape, x: Tensor, layer: Layer, shapes: Shapes) -> Tensor:
    """Return down(act(gate(x)) * up(x))."""
    gate = ops.activation(tape, projected(tape, x, layer, "gate_proj", shapes))
    inner = ops.mul(tape, gate, projected(tape, x, layer, "up_proj", shapes))
    del gate
    return projected(tape, inner, layer, "down_proj", shapes)
