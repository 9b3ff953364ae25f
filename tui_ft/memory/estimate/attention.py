"""Attention on a tape: the kernel that CUDA takes, and what is kept for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tui_ft.memory.estimate.ops import activation, add, cast, dropout, scaled
from tui_ft.memory.estimate.tape import FLOAT32, Leaf, Storage, Tape, Tensor

Kernel = Literal["flash", "efficient", "eager"]
_ALIGNED = 16


@dataclass(frozen=True, slots=True)
class Attending:
    """The shapes of an attention.

    Attributes:
        kernel: `flash` needs no mask; `efficient` has one; `eager` holds all scores.
        batch: rows, B.
        length: tokens of a row that ask, S.
        keys: tokens of a row that are looked at.
        heads: of the queries.
        kv_heads: of keys and values.
        head_dim: of each.
        masked: a boolean or float mask is handed over.
        bias_width: bytes of a number of a float mask; 0 for a boolean one.
        dropout: share of scores that are dropped.
        softcap: scores are bent by a hyperbolic tangent, as Gemma 2's.
        joint_scale: scores are scaled in the product that makes them, as BLOOM's.
        value_dim: of the values where they are narrower than keys; 0 where they are alike.
        sinks: a number for each head takes part in the softmax, as in gpt-oss.
    """

    kernel: Kernel
    batch: int
    length: int
    keys: int
    heads: int
    kv_heads: int
    head_dim: int
    masked: bool
    bias_width: int = 0
    dropout: float = 0.0
    softcap: bool = False
    joint_scale: bool = False
    value_dim: int = 0
    sinks: bool = False

    @property
    def scores(self) -> int:
        """Numbers of all scores, B x heads x S x keys."""
        return self.batch * self.heads * self.length * self.keys

    @property
    def outputs(self) -> int:
        """Numbers of what comes out, B x heads x S x the values' size."""
        return self.batch * self.heads * self.length * (self.value_dim or self.head_dim)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def attend(tape: Tape, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
    """Return softmax(q k^T) v by the kernel that is taken."""
    if how.keys > how.length:
        k, v = _behind_prefix(tape, k, how), _behind_prefix(tape, v, how)
    if how.kernel == "eager":
        return _eager(tape, q, k, v, how)
    if tape.low is not None:
        q, k, v = (cast(tape, x, tape.low) for x in (q, k, v))
    if how.kernel == "flash":
        return _flash(tape, q, k, v, how)
    return _efficient(tape, q, k, v, how)


def _behind_prefix(tape: Tape, x: Tensor, how: Attending) -> Tensor:
    """Return keys or values behind those of a learned prefix, which get a gradient too."""
    count = how.batch * how.kv_heads * how.keys * how.head_dim
    prefix = Leaf()
    return tape.make(count, x.width, ((x.source, 0), (prefix, count * x.width - x.size)))


def _flash(tape: Tape, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
    """Flash attention (arXiv:2205.14135): queries, keys, values, output and log-sum-exp are kept.

    Its derivative takes a float32 accumulator of the queries' gradient, a sum a row, and with
    grouped heads keys' and values' gradients for each head of the queries
    (aten/src/ATen/native/transformers/cuda, torch 2.13).
    """
    rows = how.batch * how.heads
    statistics = Storage(tape, rows * how.length * FLOAT32)
    accumulator = rows * _up(how.length, 128) * _up(how.head_dim, 32) * FLOAT32
    scratch = [accumulator, rows * _up(how.length, 128) * FLOAT32]
    if how.kv_heads != how.heads:
        scratch += [rows * how.keys * how.head_dim * q.width] * 2
    return _kernel(tape, (q, k, v), statistics, None, scratch, how.outputs)


def _kernel(
    tape: Tape,
    qkv: tuple[Tensor, Tensor, Tensor],
    statistics: Storage,
    bias: Storage | None,
    scratch: Sequence[int],
    count: int,
) -> Tensor:
    targets = [(x.source, x.size) for x in qkv]
    out = tape.make(count, qkv[0].width, targets, (), after=scratch)
    tape.keep(out, *(x.storage for x in qkv), out.storage, statistics, bias)
    return out


def _efficient(tape: Tape, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
    """The memory-efficient kernel (arXiv:2112.05682), which a mask asks for.

    Keys and values of grouped heads are written out for each head (`repeat_kv`), a boolean mask is
    made a bias of the queries' type, B x S x keys, aligned to 16, and all of it is kept.
    """
    k, v = _repeated(tape, k, how), _repeated(tape, v, how)
    bias = _bias(tape, q.width, how) if how.masked else None
    rows = how.batch * how.heads
    statistics = Storage(tape, rows * _up(how.length, 32) * FLOAT32)
    scratch = [rows * how.length * FLOAT32]
    if q.width != FLOAT32:
        scratch.append(rows * how.length * how.head_dim * FLOAT32)
    return _kernel(tape, (q, k, v), statistics, bias, scratch, how.outputs)


def _bias(tape: Tape, width: int, how: Attending) -> Storage | None:
    if how.bias_width:
        return None  # a float mask is read as it is, and shared by all layers
    cells = how.batch * how.length
    bias = Storage(tape, cells * how.keys * width)
    tape.touch(cells * how.keys)
    if how.keys % _ALIGNED:
        bias = Storage(tape, cells * _up(how.keys, _ALIGNED) * width)
    return bias


def _repeated(tape: Tape, x: Tensor, how: Attending) -> Tensor:
    """Return keys or values for each head of the queries, written out."""
    if how.kv_heads == how.heads:
        return x
    count = how.batch * how.heads * how.keys * how.head_dim
    return tape.make(count, x.width, ((x.source, x.size),))


def _eager(tape: Tape, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
    """Attention in plain operations: scores, softmax in float32, its copy in short form.

    transformers' `eager_attention_forward`: q k^T, scaled, masked, softmax, dropout, times v. The
    softmax is kept in float32 and in short form, the scores where a softcap bends them.
    """
    k, v = _repeated(tape, k, how), _repeated(tape, v, how)
    scores = _product(tape, q, k, how.scores)
    first = scores if how.joint_scale else None  # BLOOM's function holds them to its end
    if not how.joint_scale:
        scores = scaled(tape, scores)
    if how.softcap:
        scores = activation(tape, scaled(tape, scores), reads_output=True)
        scores = scaled(tape, scores)
    if how.masked:
        scores = add(tape, scores, Tensor(1, scores.width, None))
    weights = _softmax(tape, scores, v.width, how)
    del scores
    weights = dropout(tape, weights, how.dropout)
    out = _product(tape, weights, v, q.count)
    del first
    return out


def _softmax(tape: Tape, scores: Tensor, width: int, how: Attending) -> Tensor:
    """Return the softmax of the scores, in the values' type; of those with sinks in their own."""
    # Sinks are joined to the scores, and the largest is taken off.
    joined = scaled(tape, scaled(tape, scores)) if how.sinks else cast(tape, scores, FLOAT32)
    weights = tape.make(how.scores, joined.width, ((joined.source, joined.size),))
    tape.keep(weights, weights.storage)
    del joined
    return cast(tape, weights, width)


def _product(tape: Tape, a: Tensor, b: Tensor, count: int) -> Tensor:
    """Return a batched matrix product; each operand is kept for the other's gradient."""
    if tape.low is not None:
        a, b = cast(tape, a, tape.low), cast(tape, b, tape.low)
    saved = (b.storage if a.source else None, a.storage if b.source else None)
    return tape.make(count, a.width, ((a.source, a.size), (b.source, b.size)), saved)
