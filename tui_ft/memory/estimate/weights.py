"""The weights of a layer as a tape needs them: sizes, types, and which are trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tui_ft.memory.estimate.adapters import Adapter
from tui_ft.memory.estimate.ops import Bits, Matrix
from tui_ft.memory.estimate.tape import FLOAT32, Leaf
from tui_ft.memory.step import BYTES, Step
from tui_ft.models.architecture import Architecture
from tui_ft.models.pieces import Embedding, Linear, Norm, Piece, Weight

KEPT_WHOLE: Final = ("lm_head", "score", "classifier")
"""Modules that transformers never quantises, beside the output head."""
_BLOCK: Final = 64
_CONSTANTS: Final = 256
_CODES: Final = (16 + 256) * FLOAT32


@dataclass(slots=True, eq=False)
class LowRank:
    """LoRA beside a linear layer: A (r x in) and B (out x r), arXiv:2106.09685.

    Attributes:
        down: A.
        up: B.
        dropout: share of the input that is dropped.
        magnitude: DoRA's, one number for each output (arXiv:2402.09353).
    """

    down: Matrix
    up: Matrix
    dropout: float
    magnitude: Matrix | None = None


@dataclass(slots=True, eq=False)
class Layer:
    """The weights of one layer, by the last part of their names.

    Attributes:
        linears: matrices.
        norms: of the norms; `outputs` is their size.
        adapters: low-rank updates, by the name of the linear layer that they stand beside.
        scales: IA3's vectors, by the name of the linear layer whose input or output they scale.
        stacks: experts and other free weights.
    """

    linears: dict[str, Matrix] = field(default_factory=dict)
    norms: dict[str, Matrix] = field(default_factory=dict)
    adapters: dict[str, LowRank] = field(default_factory=dict)
    scales: dict[str, Matrix] = field(default_factory=dict)
    stacks: dict[str, Matrix] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor among the weights: its bytes, and whether it is trained."""

    shape: tuple[int, ...]
    width: int
    trained: bool

    @property
    def count(self) -> int:
        """Numbers."""
        total = 1
        for size in self.shape:
            total *= size
        return total


class Weights:
    """What a step's model holds, seen by layer and as a whole."""

    def __init__(self, step: Step, model: Architecture, adapter: Adapter | None) -> None:
        self.step = step
        self.model = model
        self.adapter = adapter
        self.width = BYTES[step.weights]
        self.full = adapter is None
        self._by_layer: dict[int, list[Piece]] = {}

    @property
    def computed_in(self) -> int:
        """Bytes of a number to which quantised weights are written out."""
        return BYTES[self.step.arithmetic or self.step.weights]

    def bits(self, piece: Piece) -> Bits:
        """Return how a weight is held by bitsandbytes; 16 when it is not quantised."""
        how = self.step.quantization
        if how is None or not isinstance(piece, Linear) or piece.kind == "FalconLinear":
            return 16
        if piece.part == "head" or any(part in piece.path for part in KEPT_WHOLE):
            return 16
        return how.bits

    def pieces(self, number: int | None) -> list[Piece]:
        """Return the modules of a layer, or those that are no layer's."""
        if number is None:
            return [piece for piece in self.model.modules if piece.layers is None]
        return [
            piece
            for piece in self.model.modules
            if piece.layers is not None and number in piece.layers
        ]

    def layer(self, number: int) -> Layer:
        """Return the weights of a layer, its gradients not there yet."""
        found = Layer()
        for piece in self.pieces(number):
            if isinstance(piece, Linear):
                found.linears[piece.name] = matrix = self.matrix(piece)
                self._adapt(found, piece, number)
                del matrix
            elif isinstance(piece, Norm):
                found.norms[piece.name] = self.norm(piece)
            elif isinstance(piece, Weight):
                found.stacks[piece.name] = Matrix(
                    1, piece.parameters, self.width, self._leaf(self.full)
                )
        return found

    def matrix(self, piece: Linear | Embedding) -> Matrix:
        """Return a matrix, with what keeps its gradient if it is trained."""
        if isinstance(piece, Embedding):
            return Matrix(piece.rows, piece.width, self.width, self._leaf(self.full))
        bits = self.bits(piece)
        return Matrix(
            piece.in_features,
            piece.out_features,
            self.width if bits == 16 else self.computed_in,
            self._leaf(self.full),
            bits,
            piece.bias,
            self._leaf(self.full) if piece.bias else None,
        )

    def norm(self, piece: Norm) -> Matrix:
        """Return a norm's weight; without one it is frozen."""
        trained = piece.affine and (self.full or self._trains_norms)
        return Matrix(1, piece.size, self.width, self._leaf(trained), bias=piece.bias)

    @property
    def _trains_norms(self) -> bool:
        return self.adapter is not None and self.adapter.kind == "norms"

    def _leaf(self, trained: bool) -> Leaf | None:
        return Leaf(there=self.step.accumulation) if trained else None

    def _adapt(self, layer: Layer, piece: Linear, number: int) -> None:
        adapter = self.adapter
        if adapter is None or not adapter.applies(piece, number):
            return
        width = self.adapter_width
        if adapter.kind == "ia3":
            size = piece.in_features if adapter.scales_input(piece) else piece.out_features
            layer.scales[piece.name] = Matrix(1, size, width, self._leaf(True))
            return
        rank = adapter.rank
        layer.adapters[piece.name] = LowRank(
            Matrix(piece.in_features, rank, width, self._leaf(True)),
            Matrix(rank, piece.out_features, width, self._leaf(True)),
            adapter.dropout,
            Matrix(1, piece.out_features, width, self._leaf(True)) if adapter.dora else None,
        )

    @property
    def adapter_width(self) -> int:
        """Bytes of a number of the adapter.

        peft casts what it adds to float32, or leaves it in the base's type; over a quantised base
        the trainer casts it to the type that is asked for.
        """
        if self.step.adapter_dtype == "float32":
            return FLOAT32
        quantised = self.step.quantization is not None
        return BYTES[self.step.adapter_dtype] if quantised else self.width

    def held(self) -> Iterator[Held]:
        """Yield every tensor that is held, those of adapters included."""
        for piece in self.model.modules:
            for _ in range(piece.count):
                yield from self._tensors(piece)
        if self.adapter is not None:
            for shape in self.adapter.shapes(self.model):
                yield Held(shape, self.adapter_width, trained=True)

    def _tensors(self, piece: Piece) -> Iterator[Held]:
        trained = self.full
        if isinstance(piece, Linear):
            if not piece.tied:
                shape = (piece.out_features, piece.in_features)
                yield from self._matrix_tensors(shape, self.bits(piece), trained)
            if piece.bias:
                yield Held((piece.out_features,), self.width, trained)
        elif isinstance(piece, Norm):
            trained = trained or self._trains_norms
            for _ in range(1 + piece.bias if piece.affine else 0):
                yield Held((piece.size,), self.width, trained)
        elif isinstance(piece, Embedding):
            yield Held((piece.rows, piece.width), self.width, trained)
        else:
            yield Held(piece.shape, self.width, trained)

    def _matrix_tensors(self, shape: tuple[int, int], bits: Bits, trained: bool) -> Iterator[Held]:
        """Yield a matrix, and what bitsandbytes holds beside a quantised one.

        4 bits: a constant for each 64 weights, of 8 bits with one float32 for 256 of them when
        quantised doubly (arXiv:2305.14314, section 3), and the two tables of codes; 8 bits: a
        float32 scale a row (arXiv:2208.07339).
        """
        how = self.step.quantization
        count = shape[0] * shape[1]
        if bits == 16 or how is None:
            yield Held(shape, self.width, trained)
        elif bits == 8:
            yield Held(shape, 1, False)
            yield Held((shape[0],), FLOAT32, False)
        else:
            yield Held(((count + 1) // 2,), 1, False)
            constants = -(-count // _BLOCK)
            yield Held((constants,), 1 if how.double else FLOAT32, False)
            if how.double:
                yield Held((-(-constants // _CONSTANTS),), FLOAT32, False)
                yield Held((_CODES,), 1, False)
