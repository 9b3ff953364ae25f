"""Operations of a model on a tape, as transformers 5.23 and torch 2.13 compute them on CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tui_ft.memory.estimate.tape import FLOAT32, Leaf, Sink, Split, Storage, Tape, Tensor

Bits = Literal[4, 8, 16]
_FOUR: Final = 4
_EIGHT: Final = 8
_DEQUANTISES_ABOVE: Final = 512
"""Tokens from which bitsandbytes' 4-bit product writes the weight out (bitsandbytes 0.50)."""


@dataclass(slots=True, eq=False)
class Matrix:
    """The weight of a linear layer.

    Attributes:
        inputs: features that go in.
        outputs: features that come out.
        width: bytes of a number; of a quantised one, of what it is dequantised to.
        source: keeps its gradient; None when frozen.
        bits: 4 or 8 when quantised by bitsandbytes.
        bias: whether a bias is added.
        bias_source: keeps the bias's gradient.
    """

    inputs: int
    outputs: int
    width: int
    source: Sink | None = None
    bits: Bits = 16
    bias: bool = False
    bias_source: Leaf | None = None

    @property
    def count(self) -> int:
        """Numbers."""
        return self.inputs * self.outputs


def cast(tape: Tape, x: Tensor, width: int) -> Tensor:
    """Return ``x`` in another type; itself when it is of that type."""
    if x.width == width:
        return x
    return tape.make(x.count, width, ((x.source, x.size),))


def copied(tape: Tape, x: Tensor) -> Tensor:
    """Return a copy (`clone`, `contiguous`); the gradient is passed on as it is."""
    return tape.make(x.count, x.width, ((x.source, 0),))


def spread(tape: Tape, x: Tensor, count: int) -> Tensor:
    """Return ``x`` repeated up to ``count`` numbers, written out; its gradient is summed up."""
    return tape.make(count, x.width, ((x.source, x.size),))


def add(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    """Return a sum; nothing is kept for it. The smaller operand is spread over the larger."""
    width = max(a.width, b.width)
    count = max(a.count, b.count)
    targets = [(x.source, 0 if x.count == count and x.width == width else x.size) for x in (a, b)]
    return tape.make(count, width, targets)


def scaled(tape: Tape, x: Tensor) -> Tensor:
    """Return a product with a number; nothing is kept for it."""
    return tape.make(x.count, x.width, ((x.source, x.size),))


def mul(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    """Return a product; each operand is kept for the other's gradient."""
    width = max(a.width, b.width)
    count = max(a.count, b.count)
    saved = (b.storage if a.source else None, a.storage if b.source else None)
    targets = ((a.source, a.count * a.width), (b.source, b.count * b.width))
    wide = [count * width for x in (a, b) if x.source and (x.count != count or x.width != width)]
    return tape.make(count, width, targets, saved, before=wide)


def activation(tape: Tape, x: Tensor, *, reads_output: bool = False) -> Tensor:
    """Return an activation by one kernel (silu, gelu, relu).

    Its input is kept; of relu its output, which ``reads_output`` asks for.
    """
    out = tape.make(x.count, x.width, ((x.source, x.size),), () if reads_output else (x.storage,))
    if reads_output:
        tape.keep(out, out.storage)
    return out


def dropout(tape: Tape, x: Tensor, share: float) -> Tensor:
    """Return ``x`` with some dropped: a mask of one byte each is kept (native_dropout)."""
    if share <= 0 or not tape.learns:
        return x
    mask = Storage(tape, x.count)
    return tape.make(x.count, x.width, ((x.source, x.size),), (mask,), before=(x.size,))


def linear(tape: Tape, x: Tensor, weight: Matrix) -> Tensor:
    """Return x W^T + b.

    The input is kept where the weight is trained; the weight where the input needs a gradient,
    which costs nothing but for a copy that autocast made.
    """
    if weight.bits == _FOUR:
        return _linear_4bit(tape, x, weight)
    if weight.bits == _EIGHT:
        return _linear_8bit(tape, x, weight)
    held: Storage | None = None
    source: object = weight.source
    width = weight.width
    if tape.low is not None:
        x = cast(tape, x, tape.low) if x.width == FLOAT32 else x
        if width == FLOAT32:
            copy = _cast_weight(tape, weight)
            held, source, width = copy.storage, copy.source, copy.width
    saved = (held if x.source else None, x.storage if source else None)
    targets = [(x.source, x.size), (source, weight.count * width)]
    if weight.bias_source is not None:
        targets.append((weight.bias_source, weight.outputs * weight.width))
    count = x.count // weight.inputs * weight.outputs
    return tape.make(count, x.width, targets, saved)  # type: ignore[arg-type]


def _cast_weight(tape: Tape, weight: Matrix) -> Tensor:
    """Return autocast's copy of a float32 weight; one that is trained is kept until its end."""
    known = tape.casts.get(id(weight))
    if known is not None:
        return known[1]
    low = tape.low or FLOAT32
    copy = tape.make(weight.count, low, ((weight.source, weight.count * FLOAT32),))
    if weight.source is not None and tape.keeps_casts:
        tape.casts[id(weight)] = weight, copy  # held as well, so that its id is no other's
    return copy


def _linear_4bit(tape: Tape, x: Tensor, weight: Matrix) -> Tensor:
    """Return a product with a 4-bit weight: nothing is kept; it is written out anew each time.

    bitsandbytes 0.50, `MatMul4Bit`: forward inside the kernel's call for more than 512 tokens,
    backward as a tensor beside the gradient.
    """
    own = x.width
    x = cast(tape, x, weight.width)
    tokens = x.count // weight.inputs
    whole = weight.count * weight.width
    if tokens > _DEQUANTISES_ABOVE:
        tape.touch(tokens * weight.outputs * x.width, whole)
    out = tape.make(tokens * weight.outputs, x.width, ((x.source, x.size),), after=(whole,))
    return cast(tape, out, own)


def _linear_8bit(tape: Tape, x: Tensor, weight: Matrix) -> Tensor:
    """Return a product with an 8-bit weight: the input is kept, beside its float16 copy's codes.

    bitsandbytes 0.50, `MatMul8bitLt`: input to float16, then to int8 with a scale a row; the
    backward pass writes the weight out. It keeps its input by itself, so also past a checkpoint.
    """
    tokens = x.count // weight.inputs
    half = 2
    tape.touch(x.count * half, x.count)
    saved = (x.storage,) if x.source else ()
    if tape.pinned is not None:
        tape.pinned.append(x.storage)
    return tape.make(
        tokens * weight.outputs,
        x.width,
        ((x.source, x.size),),
        saved,
        after=(weight.count * x.width,),
    )


def embedding(tape: Tape, tokens: int, size: int, table: Matrix) -> Tensor:
    """Return rows of a table; its gradient is as large as the table."""
    return tape.make(tokens * size, table.width, ((table.source, table.count * table.width),))


def rms_norm(tape: Tape, x: Tensor, size: int, weight: Matrix, *, wide: bool = False) -> Tensor:
    """Return Llama's RMSNorm, which computes in float32.

    Kept are the input in float32 (twice read, held once), the root of its mean squares, and where
    the weight is trained the normalised input. The backward pass takes five float32 tensors of the
    input's size at most: the two branches of x * rsqrt(mean(x^2)).

    Args:
        tape: what it is written on.
        x: the input.
        size: of a row.
        weight: of the norm.
        wide: the weight is multiplied in float32, as Gemma's and OLMo 2's is.
    """
    count, width = x.count, x.width
    trained = weight.source is not None
    inner = cast(tape, x, FLOAT32)
    rows = count // size
    wider = FLOAT32 if wide else width
    tape.touch(count * FLOAT32)
    reads = inner.source is not None
    root = Storage(tape, rows * FLOAT32) if reads else None
    full = Storage(tape, count * FLOAT32)
    normal = full if wider == FLOAT32 else Storage(tape, count * width)
    out_size = count * wider
    keeps_normal = normal if trained else None
    big = count * FLOAT32
    first = (out_size,) * (2 if trained else 1)
    # Where the branches meet, the incoming gradient and what was kept for the weight are gone.
    gone = count * wider * (2 if trained else 1)
    second = (*(big,) * (5 - -(-gone // big)), -gone % big)
    targets = [(inner.source, big)]
    if trained:
        targets.append((weight.source, weight.outputs * weight.width))
    saved = (inner.storage if reads else None, root, keeps_normal)
    before = max(first, second, key=sum) if reads else first
    out = tape.make(
        count, max(wider, weight.width) if not wide else wider, targets, saved, before=before
    )
    del full, normal, inner
    return cast(tape, out, width) if wide else out


def layer_norm(tape: Tape, x: Tensor, size: int, weight: Matrix) -> Tensor:
    """Return torch's LayerNorm: one kernel that keeps its input, and mean and root a row.

    Under autocast it computes in float32, on a copy where the input is shorter.
    """
    if tape.low is not None:
        x = cast(tape, x, FLOAT32)
    rows = x.count // size
    statistics = Storage(tape, 2 * rows * FLOAT32)
    targets = [(x.source, x.size)]
    if weight.source is not None:
        targets += [(weight.source, 2 * size * weight.width)]
    return tape.make(x.count, x.width, targets, (x.storage, statistics))


def joined(tape: Tape, parts: Sequence[Tensor]) -> Tensor:
    """Return parts behind each other; their gradients are views of its own."""
    count = sum(part.count for part in parts)
    return tape.make(count, parts[0].width, [(part.source, part.size) for part in parts])


def split(tape: Tape, x: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Return views of all of ``x``; their gradients are joined into one of the whole size."""
    node = None
    if tape.learns and x.source is not None:
        node = Split(((x.source, x.size),))
        tape.nodes.append(node)
    return [Tensor(count, x.width, x.storage, node) for count in counts]


def rotary(tape: Tape, x: Tensor, width: int, *, part: float = 1.0, keeps: bool = False) -> Tensor:
    """Return x cos + rotated(x) sin: only cosine and sine are kept, which all layers share.

    Args:
        tape: what it is written on.
        x: queries or keys.
        width: bytes of a number of cosine and sine.
        part: share of a head that is turned; the rest is joined to it again.
        keeps: the result has the type of ``x``, as OLMo's.
    """
    wide = max(x.width, width)
    turned = int(x.count * part)
    size = turned * wide
    tape.touch(size, size, size)
    if part < 1:
        inner = tape.make(turned, wide, ((x.source, x.size),), before=(size, size, x.size))
        return tape.make(x.count, wide, ((inner.source, 0),))
    out = tape.make(x.count, wide, ((x.source, x.size),), before=(size, size))
    return cast(tape, out, x.width) if keeps else out


def gelu_in_parts(tape: Tape, x: Tensor) -> Tensor:
    """Return `gelu_new`: 0.5 x (1 + tanh(c (x + 0.044715 x^3))), in plain operations.

    The input, the hyperbolic tangent and both factors of the product are kept.
    """
    base = cast(tape, x, FLOAT32) if tape.low is not None else x
    cube = tape.make(
        base.count,
        base.width,
        ((base.source, base.size),),
        (base.storage,),
        before=(base.size,) * 2,
    )
    cube = scaled(tape, cube)
    inner = scaled(tape, add(tape, x, cube))
    del cube, base
    bent = activation(tape, inner, reads_output=True)
    del inner
    bent = scaled(tape, bent)
    return mul(tape, scaled(tape, x), bent)


def gelu_of_bloom(tape: Tape, x: Tensor) -> Tensor:
    """Return BLOOM's gelu, a function of its own: the input is kept, the rest is made again."""
    tape.touch(*(x.size,) * 3)
    return tape.make(x.count, x.width, ((x.source, x.size),), (x.storage,), before=(x.size,) * 4)


def plain_layer_norm(tape: Tape, x: Tensor, size: int, weight: Matrix) -> Tensor:
    """Return OLMo's LayerNorm, without weights and in float32."""
    return cast(tape, layer_norm(tape, cast(tape, x, FLOAT32), size, weight), x.width)


def cohere_norm(tape: Tape, x: Tensor, size: int, weight: Matrix) -> Tensor:
    """Return Cohere's LayerNorm, in plain operations of float32.

    x - mean is made twice and kept twice, for the variance and for the product with its root; the
    normalised input is kept where the weight is trained.
    """
    big = x.count * FLOAT32
    inner = cast(tape, x, FLOAT32)
    rows = x.count // size
    trained = weight.source is not None
    reads = inner.source is not None
    first = Storage(tape, big)
    tape.touch(big)
    root = Storage(tape, rows * FLOAT32)
    second = Storage(tape, big)
    normal = Storage(tape, big)
    targets = [(inner.source, big)]
    if trained:
        targets.append((weight.source, weight.outputs * weight.width))
    saved = (first, second, root) if reads else ()
    before = (big,) * 4 if reads else (big,)
    out = tape.make(x.count, FLOAT32, targets, (*saved, normal if trained else None), before=before)
    del first, second, normal, inner
    return cast(tape, out, x.width)
