"""The weights of a step: their sizes and types, which are trained, and a layer's for a tape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Final, Literal

from tui_ft.memory.estimate.adapters import Adapter
from tui_ft.memory.estimate.ops import Bits, Matrix
from tui_ft.memory.estimate.tape import FLOAT32, Leaf, block_of
from tui_ft.memory.step import BYTES, Step
from tui_ft.models.architecture import Architecture
from tui_ft.models.pieces import Embedding, Linear, Norm, Piece, Weight

KEPT_WHOLE: Final = ("lm_head", "score", "classifier")
"""Modules that transformers never quantises, beside the output head."""
_UNSEEN: Final = "vision"
"""The part of a model that text does not pass."""
_WHOLE: Final = 16
_BLOCK: Final = 64
_CONSTANTS: Final = 256
_CODES: Final = (16 + 256) * FLOAT32

HeldKind = Literal["weights", "constants", "adapters"]


@dataclass(slots=True, eq=False)
class LowRank:
    """LoRA beside a linear layer: A (r x in) and B (out x r), arXiv:2106.09685.

    Or a bottleneck adapter behind it: D (r x out) and U (out x r), arXiv:1902.00751.

    Attributes:
        down: A.
        up: B.
        dropout: share of the input that is dropped.
        magnitude: DoRA's, one number for each output (arXiv:2402.09353).
        behind: it takes the layer's output through a non-linearity.
        relu: that is relu.
    """

    down: Matrix
    up: Matrix
    dropout: float
    magnitude: Matrix | None = None
    behind: bool = False
    relu: bool = False


@dataclass(slots=True, eq=False)
class Layer:
    """The weights of one layer, by the last part of their names where that is enough.

    Attributes:
        linears: matrices.
        norms: of the norms; `outputs` is their size.
        adapters: low-rank updates, by the name of the linear layer that they stand beside.
        scales: IA3's vectors, by the name of the linear layer; `bias` where its input is scaled.
        stacks: of a mixture, the experts' weights and the router's.
    """

    linears: dict[str, Matrix] = field(default_factory=dict)
    norms: dict[str, Matrix] = field(default_factory=dict)
    adapters: dict[str, LowRank] = field(default_factory=dict)
    scales: dict[str, Matrix] = field(default_factory=dict)
    stacks: dict[str, Matrix] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """Tensors among the weights, all alike.

    Attributes:
        shape: of one.
        width: bytes of a number.
        trained: whether it has a gradient.
        kind: what it is counted as.
        number: how many there are.
        idle: it is to be trained, but no gradient ever reaches it: what sees images, when rows are
            text alone. It has no state of the optimizer either.
        embedding: it is looked up in, not multiplied by.
        rank: to which the optimizer projects its gradient; 0 where it does not.
    """

    shape: tuple[int, ...]
    width: int
    trained: bool = False
    kind: HeldKind = "weights"
    number: int = 1
    idle: bool = False
    embedding: bool = False
    rank: int = 0

    @property
    def count(self) -> int:
        """Numbers of one."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of one, as the allocator gives them."""
        return block_of(self.count * self.width)

    @property
    def all_sizes(self) -> int:
        """Bytes of all of them."""
        return self.size * self.number


class Weights:
    """What a step's model holds, layer by layer and as a whole."""

    def __init__(self, step: Step, model: Architecture, adapter: Adapter | None) -> None:
        self.model = model
        self.adapter = adapter
        self.width = BYTES[step.weights]
        self.full = adapter is None
        self._quantization = step.quantization
        self._there = step.accumulation
        self._projects = step.optim_rank, step.optim_targets
        self._computed_in = BYTES[step.arithmetic or step.weights]
        self._adapter_width = self._width_of_adapter(step)
        # Of what is trained of the base beside an adapter, as a copy.
        self._copies = BYTES[step.adapter_dtype] if step.holds_all_as_adapter else self.width
        self._layered = [
            piece for piece in model.modules if piece.layers is not None and piece.part != _UNSEEN
        ]

    def _width_of_adapter(self, step: Step) -> int:
        """Return the bytes of a number of the adapter.

        peft casts what it adds to float32, or leaves it in the base's type; over a quantised base
        the trainer casts it to the type that is asked for.
        """
        if step.adapter_dtype == "float32":
            return FLOAT32
        return BYTES[step.adapter_dtype] if step.quantization is not None else self.width

    def kinds_of_layers(self) -> list[int]:
        """Return for each layer the number of the first that has the same modules."""
        last = self.model.layers
        adapted = self.adapter.layer_numbers if self.adapter is not None else None
        if adapted is None and all(len(piece.layers or ()) == last for piece in self._layered):
            return [0] * last
        first: dict[tuple[bool, ...], int] = {}
        found = []
        for number in range(last):
            have = [number in (piece.layers or ()) for piece in self._layered]
            have.append(adapted is None or number in adapted)
            found.append(first.setdefault(tuple(have), number))
        return found

    def layer(self, number: int, *, adapted: bool = True, trained: bool = True) -> Layer:
        """Return the weights of a layer, its gradients not there yet.

        Args:
            number: of the layer.
            adapted: with its adapters; a reference has them switched off.
            trained: with what keeps gradients; a reference has none.
        """
        found = Layer()
        pieces = [piece for piece in self._layered if number in (piece.layers or ())]
        for name, piece in _named(pieces):
            if isinstance(piece, Linear):
                found.linears[name] = self.matrix(piece, trained=trained)
                if adapted and self.adapter is not None and self.adapter.applies(piece, number):
                    self._adapt(found, name, piece, self.adapter)
            elif isinstance(piece, Norm):
                found.norms[name] = self.norm(piece, trained=trained)
            elif isinstance(piece, Weight):
                leaf = self._leaf(self.full and trained)
                found.stacks[name] = Matrix(1, piece.parameters, self.width, leaf)
        return found

    def matrix(self, piece: Linear | Embedding, *, trained: bool = True) -> Matrix:
        """Return a matrix, with what keeps its gradient if it is trained."""
        learns = trained and (self.full or self._saved_whole(piece))
        whole = self._width(learns)
        if isinstance(piece, Embedding):
            return Matrix(piece.rows, piece.width, whole, self._leaf(learns))
        bits = self._bits(piece)
        width = whole if bits == _WHOLE else self._computed_in
        bias_leaf = self._leaf(learns) if piece.bias else None
        return Matrix(
            piece.in_features,
            piece.out_features,
            width,
            self._leaf(learns and bits == _WHOLE),
            bits,
            piece.bias,
            bias_leaf,
        )

    def norm(self, piece: Norm, *, trained: bool = True) -> Matrix:
        """Return a norm's weight; one without weights is frozen."""
        copied = self._tunes(piece) or self._saved_whole(piece)
        learns = trained and piece.affine and (self.full or copied)
        return Matrix(1, piece.size, self._width(learns), self._leaf(learns), bias=piece.bias)

    def _width(self, learns: bool) -> int:
        """Return the bytes of a number of what is the base's, or a copy of it that learns."""
        return self._copies if learns and not self.full else self.width

    def held(self, number: int | None) -> Iterator[Held]:
        """Yield what a layer holds, or with None what is there once."""
        for piece in self.model.modules:
            if piece.part == _UNSEEN:
                if number is None:
                    yield from self._idle(piece)
            elif number is None if piece.layers is None else number in (piece.layers or ()):
                yield from self._tensors(piece, number)
        if number is None and self.adapter is not None:
            for shape in self.adapter.own_shapes(self.model):
                yield Held(shape, self._adapter_width, trained=True, kind="adapters")

    def _idle(self, piece: Piece) -> Iterator[Held]:
        for held in self._tensors(piece, None if piece.layers is None else 0):
            number = held.number * piece.count
            yield replace(held, trained=False, idle=held.trained, number=number)

    def _tensors(self, piece: Piece, number: int | None) -> Iterator[Held]:
        trained = self.full
        if isinstance(piece, Linear):
            yield from self._linear_tensors(piece)
            adapter = self.adapter if number is not None else None
            if adapter is not None and adapter.applies(piece, number or 0):
                rank = self._projected(piece.path, adapted=True)
                for shape in adapter.shapes(piece):
                    yield Held(shape, self._adapter_width, True, kind="adapters", rank=rank)
        elif isinstance(piece, Norm):
            if piece.affine:
                both = 1 + piece.bias
                yield Held((piece.size,), self.width, trained, number=both)
                if self._tunes(piece):
                    yield Held((piece.size,), self._copies, True, kind="adapters", number=both)
        elif isinstance(piece, Embedding):
            yield Held((piece.rows, piece.width), self.width, trained, embedding=True)
        else:
            yield Held(piece.shape, self.width, trained)
        if not self.full and self._saved_whole(piece):
            shape = (piece.parameters,)
            if isinstance(piece, Linear):
                shape = (piece.weights,)
            looked_up = isinstance(piece, Embedding)
            yield Held(shape, self._copies, trained=True, kind="adapters", embedding=looked_up)

    def _linear_tensors(self, piece: Linear) -> Iterator[Held]:
        """Yield a matrix and its bias, and what bitsandbytes holds beside a quantised one.

        4 bits: a constant for each 64 weights, of 8 bits with one float32 for 256 of them when
        quantised doubly (arXiv:2305.14314, section 3), and two tables of codes; 8 bits: a float32
        scale a row (arXiv:2208.07339).
        """
        bits, how = self._bits(piece), self._quantization
        shape = (piece.out_features, piece.in_features)
        if piece.bias:
            yield Held((piece.out_features,), self.width, self.full)
        if bits == _WHOLE or how is None:
            if not piece.tied:
                rank = self._projected(piece.path) if self.full else 0
                yield Held(shape, self.width, self.full, rank=rank)
            return
        if how.bits == 8:  # noqa: PLR2004 - bits
            yield Held(shape, 1)
            yield Held((piece.out_features,), FLOAT32, kind="constants")
            return
        constants = -(-piece.weights // _BLOCK)
        yield Held(((piece.weights + 1) // 2,), 1)
        yield Held((constants,), 1 if how.double else FLOAT32, kind="constants")
        if how.double:
            yield Held((-(-constants // _CONSTANTS),), FLOAT32, kind="constants")
        yield Held((_CODES,), 1, kind="constants")

    def _projected(self, path: str, *, adapted: bool = False) -> int:
        """Return the rank to which a linear layer's gradients are projected; 0 where they are not.

        As `check_target_module_exists` of transformers chooses them.
        """
        rank, targets = self._projects
        if not rank:
            return 0
        if len(targets) == 1 and targets[0].replace("_", "-") == "all-linear":
            return rank
        inside = "base_model.model." if self.adapter is not None else ""
        key = f"{inside}{path.format(0)}{'.lora_A.default' if adapted else ''}"
        found = any(one in key or re.fullmatch(one, key) for one in targets)
        return rank if found else 0

    def _bits(self, piece: Linear) -> Bits:
        """Return how a matrix is held by bitsandbytes; 16 when it is not quantised."""
        how = self._quantization
        if how is None or piece.kind == "FalconLinear" or piece.part == "head":
            return 16
        return 16 if any(part in piece.path for part in KEPT_WHOLE) else how.bits

    def _saved_whole(self, piece: Piece) -> bool:
        """Tell whether a module is trained whole beside an adapter (peft's modules_to_save)."""
        if self.adapter is None:
            return False
        if self.model.labels is not None and piece.part == "head":
            return True
        return piece.name in self.adapter.saved

    def _tunes(self, piece: Norm) -> bool:
        """Tell whether a norm is trained as a copy, by layer-norm tuning."""
        adapter = self.adapter
        return adapter is not None and adapter.kind == "norms" and piece.path in adapter.targets

    def _leaf(self, trained: bool) -> Leaf | None:
        return Leaf(weight=True, there=self._there) if trained else None

    def _adapt(self, layer: Layer, name: str, piece: Linear, adapter: Adapter) -> None:
        width = self._adapter_width
        if adapter.kind == "ia3":
            reads = piece.path in adapter.inputs
            size = piece.in_features if reads else piece.out_features
            layer.scales[name] = Matrix(1, size, width, self._leaf(True), bias=reads)
            return
        out = piece.out_features
        if adapter.kind == "bottleneck":
            down = Matrix(out, adapter.rank, width, self._leaf(True), 16, True, self._leaf(True))
            up = Matrix(adapter.rank, out, width, self._leaf(True), 16, True, self._leaf(True))
            layer.adapters[name] = LowRank(down, up, 0.0, behind=True, relu=adapter.relu)
            return
        layer.adapters[name] = LowRank(
            Matrix(piece.in_features, adapter.rank, width, self._leaf(True)),
            Matrix(adapter.rank, out, width, self._leaf(True)),
            adapter.dropout,
            Matrix(1, out, width, self._leaf(True)) if adapter.dora else None,
        )


def _named(pieces: Sequence[Piece]) -> Iterator[tuple[str, Piece]]:
    """Yield pieces of a layer by the last part of their path, or by more where it is not alone."""
    seen = Counter((isinstance(piece, Weight), piece.name) for piece in pieces)
    for piece in pieces:
        alone = seen[isinstance(piece, Weight), piece.name] == 1
        yield piece.name if alone else piece.path.partition("{}.")[2], piece
