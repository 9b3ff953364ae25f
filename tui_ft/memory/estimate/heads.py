"""Heads and losses on a tape."""

from __future__ import annotations

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.ops import Matrix
from tui_ft.memory.estimate.tape import FLOAT32, Leaf, Node, Storage, Tape, Tensor
from tui_ft.models.architecture import Architecture

TILE_TOKENS = 4096
TILE_VOCABULARY = 32768
_LONG = 8


def fused(
    tape: Tape, x: Tensor, weight: Matrix, batch: int, length: int, share: float, statistics: int
) -> Tensor:
    """trl 1.16's fused head: log-probabilities in tiles of 4,096 tokens by 32,768 words.

    Of the tokens with loss, N, the hidden states are selected and kept, with their targets and two
    float32 numbers each. Forward takes one tile beside; backward a tile and float32 gradients of
    hidden states and, when it is trained, of the head's weight, and then their short copies
    (trl/kernels/chunked_logprob.py).
    """
    size = weight.inputs
    tokens = max(1, round(batch * (length - 1) * share))
    width = x.width
    low = tape.low or width
    selected = _selected(tape, x, tokens * size)
    targets = Storage(tape, tokens * _LONG)
    tile = min(tokens, TILE_TOKENS) * TILE_VOCABULARY * low
    chunk = 0
    if low != weight.width:
        chunk = TILE_VOCABULARY * size * low
    if low != width:
        chunk += min(tokens, TILE_TOKENS) * size * low
    tape.touch(tile + chunk + 7 * tokens * FLOAT32)
    log_z = Storage(tape, 2 * tokens * FLOAT32)
    before = tile + chunk
    late = 0
    if selected.source is not None:
        before += tokens * size * FLOAT32
        late = 0 if width == FLOAT32 else tokens * size * FLOAT32
    grads = [(selected.source, tokens * size * width)]
    if weight.source is not None:
        before += weight.count * FLOAT32
        late += 0 if weight.width == FLOAT32 else weight.count * FLOAT32
        grads.append((weight.source, weight.count * weight.width))
    # While the gradients are cast, the tile is still there (it lives until the function returns).
    out = tape.make(
        tokens, FLOAT32, grads, (selected.storage, targets, log_z), before=before, after=late + tile
    )
    return out


def _selected(tape: Tape, x: Tensor, count: int) -> Tensor:
    """Return hidden states of the tokens with loss: all but the last of each row, then by a mask.

    Back: zeros and a copy with the gradients in place, then zeros of the whole length.
    """
    cut = Tensor(count, x.width, x.storage)
    cut.source = tape.record(((x.source, x.size),))
    return tape.make(count, x.width, ((cut.source, x.size),), before=x.size)


def full_logits(tape: Tape, x: Tensor, weight: Matrix) -> Tensor:
    """transformers' own loss: all logits, in float32 as well, and their log-softmax, which is kept.

    `ForCausalLMLoss`: logits T x V in the model's type, in float32, log-softmax in float32.
    """
    logits = ops.linear(tape, x, weight)
    wide = ops.cast(tape, logits, FLOAT32)
    soft = tape.make(wide.count, FLOAT32, ((wide.source, wide.size),))
    if soft.source is not None:
        soft.source.saved = (soft.storage,)  # type: ignore[attr-defined]
    return tape.make(1, FLOAT32, ((soft.source, soft.size),), (soft.storage,))
