"""What layers of all families share: projections with adapters, norms, MLPs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.attention import Attending
from tui_ft.memory.estimate.ops import Matrix
from tui_ft.memory.estimate.tape import Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Layer, LowRank
from tui_ft.models.architecture import Architecture

WIDE_NORMS: Final = ("gemma", "gemma2", "gemma3", "gemma3_text", "olmo2", "olmo3")
"""Families whose RMSNorm multiplies with its weight in float32."""
_DROPOUT: Final[dict[str, dict[str, float]]] = {
    "gpt2": {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1},
    "opt": {"dropout": 0.1},
    "gpt_bigcode": {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1},
    "seed_oss": {"residual_dropout": 0.1, "attention_dropout": 0.1},
    "distilbert": {"dropout": 0.1, "attention_dropout": 0.1},
    "xlm-roberta": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
    "bert": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
    "roberta": {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1},
}
"""Shares of dropout where a config.json has none (transformers' configuration classes)."""
_WHOLE: Final = 16
ATTENTION_DROPOUT: Final = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the operations of a layer are told.

    Attributes:
        model: the architecture.
        config: the model's config.json.
        attending: of this layer's attention.
        rotary_width: bytes of a number of cosine and sine.
        windowed: the layer's attention sees a window only.
    """

    model: Architecture
    config: Mapping[str, Any]
    attending: Attending
    rotary_width: int
    windowed: bool = False

    def dropped(self, *names: str) -> float:
        """Return a share of dropout from the configuration, by its first name that is there."""
        usual = _DROPOUT.get(self.model.model_type, {})
        for name in names:
            found = self.config.get(name, usual.get(name))
            if found is not None:
                return float(found)
        return 0.0


Forward = Callable[[Tape, Tensor, Layer, Shapes], Tensor]


def projected(tape: Tape, x: Tensor, layer: Layer, name: str) -> Tensor:
    """Return a linear layer's output, with the adapter that stands beside it."""
    matrix = layer.linears[name]
    beside = layer.adapters.get(name)
    if beside is not None and beside.behind:
        return _with_bottleneck(tape, x, matrix, beside)
    if beside is not None:
        return _with_lora(tape, x, matrix, beside)
    scale = layer.scales.get(name)
    if scale is not None:
        return _with_ia3(tape, x, matrix, scale)
    return ops.linear(tape, x, matrix)


def _with_lora(tape: Tape, x: Tensor, matrix: Matrix, beside: LowRank) -> Tensor:
    """Return W x + B A x s (peft 0.21, tuners/lora/layer.py and bnb.py).

    The input is cast to the adapter's type for each target, and its copy is kept; over a quantised
    base the output is cloned first, and under autocast the input stays as it is.
    """
    result = ops.linear(tape, x, matrix)
    width = result.width
    converts, quantised = True, matrix.bits != _WHOLE
    if quantised:
        result = ops.copied(tape, result)
        converts = tape.low is None
    if converts:
        x = ops.cast(tape, x, beside.down.width)
    x = ops.dropout(tape, x, beside.dropout)
    if beside.magnitude is not None:
        update = _dora(tape, x, result, matrix, beside)
    else:
        update = ops.linear(tape, ops.linear(tape, x, beside.down), beside.up)
        update = ops.scaled(tape, update)
    if quantised and converts:
        update = ops.cast(tape, update, width)
    return ops.cast(tape, ops.add(tape, result, update), width)


def _with_bottleneck(tape: Tape, x: Tensor, matrix: Matrix, behind: LowRank) -> Tensor:
    """Return h + U f(D h) of h = W x (arXiv:1902.00751; tuners/bottleneck.py)."""
    hidden = ops.linear(tape, x, matrix)
    width = hidden.width
    narrow = ops.linear(tape, ops.cast(tape, hidden, behind.down.width), behind.down)
    narrow = ops.activation(tape, narrow, reads_output=behind.relu)
    change = ops.cast(tape, ops.linear(tape, narrow, behind.up), width)
    return ops.add(tape, hidden, change)


def _dora(tape: Tape, x: Tensor, result: Tensor, matrix: Matrix, beside: LowRank) -> Tensor:
    """Return DoRA's update (arXiv:2402.09353; peft 0.21, tuners/lora/dora.py).

    For the norm of the changed weight B A is multiplied with the unit matrix: a product as large as
    the weight, made anew in each pass. It and the weight in the input's type are there until the
    update is made; autograd keeps nothing of them, for the norm is detached.
    """
    width, low = x.width, tape.low or beside.down.width
    square = matrix.inputs * matrix.inputs
    whole = matrix.count * width
    units = [square * beside.down.width] + ([square * low] if low != beside.down.width else [])
    tape.touch(*units, matrix.count * low)
    changed = Storage(tape, whole)
    weight = Storage(tape, whole) if matrix.width != width or matrix.bits != _WHOLE else None
    tape.touch(whole, whole)
    magnitude = beside.magnitude or beside.up
    scale = Tensor(matrix.outputs, magnitude.width, None, magnitude.source)
    update = ops.linear(tape, ops.linear(tape, x, beside.down), beside.up)
    out = ops.mul(tape, scale, result)
    update = ops.scaled(tape, ops.mul(tape, scale, update))
    out = ops.add(tape, out, update)
    del changed, weight
    return out


def _with_ia3(tape: Tape, x: Tensor, matrix: Matrix, scale: Matrix) -> Tensor:
    """Return IA3's product (arXiv:2205.05638; peft 0.21, tuners/ia3/layer.py).

    A feed-forward layer's input is scaled, or any other's output; what is scaled is kept.
    """
    vector = Tensor(scale.outputs, scale.width, None, scale.source)
    if scale.bias:
        own = x.width
        x = ops.cast(tape, ops.mul(tape, ops.cast(tape, x, scale.width), vector), own)
        return ops.linear(tape, x, matrix)
    result = ops.linear(tape, x, matrix)
    return ops.cast(tape, ops.mul(tape, result, vector), result.width)


def norm(tape: Tape, x: Tensor, weight: Matrix, shapes: Shapes) -> Tensor:
    """Return a norm of the family's kind."""
    if shapes.model.norm == "rms":
        wide = shapes.model.model_type in WIDE_NORMS
        return ops.rms_norm(tape, x, weight.outputs, weight, wide=wide)
    if shapes.model.model_type.startswith("cohere"):
        return ops.cohere_norm(tape, x, weight.outputs, weight)
    if shapes.model.model_type == "olmo":
        return ops.plain_layer_norm(tape, x, weight.outputs, weight)
    return ops.layer_norm(tape, x, weight.outputs, weight)


_IN_PARTS: Final = ("gelu_new", "gelu_fast", "gelu_accurate")


def activated(tape: Tape, x: Tensor, shapes: Shapes) -> Tensor:
    """Return the activation of the family's MLP."""
    name = shapes.model.activation
    if shapes.model.model_type == "bloom":
        return ops.gelu_of_bloom(tape, x)
    if name in _IN_PARTS:
        return ops.gelu_in_parts(tape, x)
    if name == "relu2":
        bent = ops.activation(tape, x, reads_output=True)
        return ops.activation(tape, bent)
    return ops.activation(tape, x, reads_output=name == "relu")
