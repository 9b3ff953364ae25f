"""What models are made of: modules with weights, under the names that transformers gives them.

A path holds `{}` where the number of the layer goes: `model.layers.{}.self_attn.q_proj`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Part = Literal[
    "embedding", "attention", "mlp", "experts", "router", "norm", "pooler", "head", "vision"
]
"""What a weight belongs to, as people count parameters."""

LinearKind = Literal["Linear", "Conv1D", "FalconLinear"]
"""The module's class. bitsandbytes takes the place of the first two only."""

Layers = range | tuple[int, ...]
"""The layers that have a module, by number."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix product, (…, in_features) to (…, out_features), in every layer or once.

    Attributes:
        path: where it is; with `{}` for the number of its layer.
        layers: which layers have one; None for a module that is there once.
        tied: its weight is the input embedding's, and no parameter of its own.
    """

    path: str
    in_features: int
    out_features: int
    bias: bool = False
    part: Part = "attention"
    layers: Layers | None = None
    kind: LinearKind = "Linear"
    tied: bool = False

    @property
    def name(self) -> str:
        """The last part of its path: `q_proj`."""
        return self.path.rpartition(".")[2]

    @property
    def count(self) -> int:
        """How many there are in the model."""
        return 1 if self.layers is None else len(self.layers)

    @property
    def weights(self) -> int:
        """Elements of one weight, whether its own or tied."""
        return self.in_features * self.out_features

    @property
    def parameters(self) -> int:
        """Parameters of one, without a tied weight."""
        return (0 if self.tied else self.weights) + (self.out_features if self.bias else 0)


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalisation over the last axis.

    Attributes:
        size: width of what is normalised.
        bias: LayerNorm's.
        affine: whether it has a weight at all; OLMo's has none.
    """

    path: str
    size: int
    bias: bool = False
    affine: bool = True
    layers: Layers | None = None
    part: Part = "norm"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    @property
    def count(self) -> int:
        """How many there are in the model."""
        return 1 if self.layers is None else len(self.layers)

    @property
    def parameters(self) -> int:
        """Parameters of one."""
        return self.size * (1 + self.bias) if self.affine else 0


@dataclass(frozen=True, slots=True)
class Embedding:
    """A table of vectors: of tokens, positions or segments."""

    path: str
    rows: int
    width: int
    part: Part = "embedding"
    layers: None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    @property
    def count(self) -> int:
        """How many there are in the model."""
        return 1

    @property
    def parameters(self) -> int:
        """Parameters of the table."""
        return self.rows * self.width


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter that is no module's `weight`: stacked experts, routers, free biases.

    Attributes:
        path: of the parameter: `model.layers.{}.mlp.experts.down_proj`.
        experts: of a stack of experts, how many there are along the first axis.
        per_token: of a stack of experts, how many of them a token passes.
    """

    path: str
    shape: tuple[int, ...]
    part: Part
    layers: Layers | None = None
    experts: int = 0
    per_token: int = 0

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    @property
    def count(self) -> int:
        """How many there are in the model."""
        return 1 if self.layers is None else len(self.layers)

    @property
    def parameters(self) -> int:
        """Elements of one."""
        return math.prod(self.shape)

    @property
    def active(self) -> int:
        """Elements of one that a token passes."""
        return self.parameters * self.per_token // self.experts if self.experts else self.parameters


Piece = Linear | Norm | Embedding | Weight


def total(pieces: Sequence[Piece]) -> int:
    """Return the parameters of all of them."""
    return sum(piece.parameters * piece.count for piece in pieces)
