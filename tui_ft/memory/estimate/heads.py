"""The first and the last part of a model on a tape: embeddings, head and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tui_ft.memory.estimate import layers, ops
from tui_ft.memory.estimate.layers import Shapes
from tui_ft.memory.estimate.ops import Matrix
from tui_ft.memory.estimate.tape import FLOAT32, Leaf, Storage, Tape, Tensor
from tui_ft.memory.estimate.weights import Weights
from tui_ft.models.pieces import Norm

TILE_TOKENS: Final = 4096
TILE_VOCABULARY: Final = 32768
"""Of trl 1.16's fused head (trl/kernels/chunked_logprob.py, trl/trainer/utils.py)."""
_LONG: Final = 8
_STATISTICS: Final = 7

HeadKind = Literal["fused", "logits", "pairs", "scores", "last"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What is computed of the last hidden states.

    Attributes:
        head: `fused` never holds all logits; `logits` does; `pairs` does for two answers, of which
            each row is scored by itself; `scores` are a classification's; `last` are the logits of
            each row's last position.
        rows: of the batch that goes through the model at once.
        length: tokens of a row.
        tokens: those with loss, of all rows.
        answer: tokens of a row's answer.
        likelihood: of pairs, the chosen answer's likelihood is part of the loss.
        holds_outputs: the training loop keeps the logits.
        values: a value head of one output, in float32, reads the states of all tokens.
    """

    head: HeadKind
    rows: int
    length: int
    tokens: int
    answer: int = 0
    likelihood: bool = False
    holds_outputs: bool = False
    values: bool = False


def embedded(tape: Tape, weights: Weights, shapes: Shapes, loss: Loss, *, learns: bool) -> Tensor:
    """Return the first layer's input: rows of the tables, added, and normalised in some families.

    Args:
        tape: what it is written on.
        weights: of the model.
        shapes: of a layer.
        loss: for rows and length.
        learns: a gradient is asked for at the tokens' embedding, as with checkpointing.
    """
    model = weights.model
    size = model.embeddings[0].width
    tokens = loss.rows * loss.length
    table = weights.matrix(model.embeddings[0])
    if isinstance(table.source, Leaf) and model.tied:
        table.source.there = True  # the head's gradient, to which this one is added
    x = ops.embedding(tape, tokens, size, table)
    if learns and x.source is None:
        x = Tensor(x.count, x.width, x.storage, Leaf())
    if model.model_type.startswith(("gemma", "granite")):
        x = ops.scaled(tape, x)
    for other in model.embeddings[1:]:
        if other.part == "vision":
            continue
        rows = tokens if "type" in other.path else loss.length
        found = ops.embedding(tape, rows, size, weights.matrix(other))
        x = ops.add(tape, x, found)
        del found
    for norm in _once(weights, after_layers=False):
        x = layers.norm(tape, x, weights.norm(norm), shapes)
    return ops.dropout(tape, x, shapes.dropped("embd_pdrop", "hidden_dropout_prob"))


def finished(tape: Tape, x: Tensor, weights: Weights, shapes: Shapes, loss: Loss) -> Tensor:
    """Return the loss of the last layer's output."""
    for norm in _once(weights, after_layers=True):
        x = layers.norm(tape, x, weights.norm(norm, trained=tape.learns), shapes)
    head = weights.matrix(weights.model.output, trained=tape.learns)
    values = _values(tape, x, head.inputs) if loss.values else None
    if values is not None and loss.head == "fused":
        return ops.add(tape, _fused(tape, x, head, loss), values)
    match loss.head:
        case "fused":
            return _fused(tape, x, head, loss)
        case "logits":
            return _full_logits(tape, x, head, loss)
        case "pairs":
            return _pairs(tape, x, head, loss)
        case "scores":
            return _scores(tape, x, head, loss)
        case "last":
            return ops.linear(tape, Tensor(loss.rows * head.inputs, x.width, x.storage), head)


def _once(weights: Weights, *, after_layers: bool) -> list[Norm]:
    """Return the norms that are there once: behind the embeddings, or behind the layers."""
    norms = weights.model.norms
    found = [norm for norm in norms if norm.layers is None and norm.part != "vision"]
    return [norm for norm in found if ("embedding" not in norm.path) == after_layers]


def _fused(tape: Tape, x: Tensor, head: Matrix, loss: Loss) -> Tensor:
    """Return trl's log-probabilities, made in tiles of 4,096 tokens by 32,768 words.

    Of the tokens with loss the hidden states are selected and kept, with their targets and two
    float32 numbers each. Forward takes one tile beside; backward a tile and float32 gradients of
    the hidden states and, when it is trained, of the head's weight, and then their short copies
    (trl/kernels/chunked_logprob.py).
    """
    size, width, tokens = head.inputs, x.width, loss.tokens
    low = tape.low or width
    selected = _selected(tape, x, tokens * size)
    del x
    targets = Storage(tape, tokens * _LONG)
    tile = [min(tokens, TILE_TOKENS) * TILE_VOCABULARY * low]
    if low != head.width:
        tile.append(min(TILE_VOCABULARY, head.outputs) * size * low)
    if low != width:
        tile.append(min(tokens, TILE_TOKENS) * size * low)
    tape.touch(*tile, _STATISTICS * tokens * FLOAT32)
    log_z = Storage(tape, 2 * tokens * FLOAT32)
    # Gradients are summed up in float32, and cast while the tile is still there.
    summed = []
    learning = []
    for source, count, own in (
        (selected.source, tokens * size, width),
        (head.source, head.count, head.width),
    ):
        if source is not None:
            learning.append((source, count * own))
            summed += [] if own == FLOAT32 else [count * FLOAT32]
    saved = (selected.storage, targets, log_z)
    if summed:
        return tape.make(tokens, FLOAT32, learning, saved, around=(*summed, *tile))
    return tape.make(tokens, FLOAT32, learning, saved, after=tile)


def _values(tape: Tape, x: Tensor, size: int) -> Tensor:
    """Return PPO's values, one a token, of a float32 copy of the states, which is kept."""
    wide = ops.cast(tape, x, FLOAT32)
    targets = ((wide.source, wide.size), (Leaf(), size * FLOAT32))
    return tape.make(x.count // size, FLOAT32, targets, (wide.storage,))


def _selected(tape: Tape, x: Tensor, count: int) -> Tensor:
    """Return hidden states of the tokens with loss: all but the last of each row, then by a mask.

    Back: zeros and a copy with the gradients in place, then zeros of the whole length.
    """
    cut = Tensor(x.count, x.width, x.storage)
    cut.source = tape.record(((x.source, x.size),))
    return tape.make(count, x.width, ((cut.source, x.size),))


def _full_logits(tape: Tape, x: Tensor, head: Matrix, loss: Loss) -> Tensor:
    """Return transformers' own loss over all logits, T x V.

    They are held in the model's type until the forward pass is over, or until the next one's is
    where the training loop keeps them; in float32; and as log-softmax, which is kept
    (transformers, `ForCausalLMLoss`).
    """
    logits = ops.linear(tape, x, head)
    wide = ops.cast(tape, logits, FLOAT32)
    if loss.holds_outputs:
        tape.kept.append(logits.storage)
    out = tape.make(wide.count, FLOAT32, ((wide.source, wide.size),))
    tape.keep(out, out.storage)
    return tape.make(1, FLOAT32, ((out.source, out.size),), (out.storage,))


def _scores(tape: Tape, x: Tensor, head: Matrix, loss: Loss) -> Tensor:
    """Return scores: of every token, of which a row's last is taken; an encoder's of its first."""
    scores = ops.linear(tape, x, head)
    return tape.make(loss.rows * head.outputs, scores.width, ((scores.source, scores.size),))


def _pairs(tape: Tape, x: Tensor, head: Matrix, loss: Loss) -> Tensor:
    """Return the loss of trl's experimental trainers (ORPO, CPO, SimPO) over all logits.

    The chosen rows' logits are copied for their likelihood, and each row's log-softmax is kept
    (trl/experimental/orpo, `concatenated_forward`; trl/trainer/utils.py, `selective_log_softmax`).
    """
    words, last = head.outputs, loss.length - 1
    logits = ops.linear(tape, x, head)
    likelihood = None
    if loss.likelihood:
        count = loss.rows // 2 * last * words
        chosen = tape.make(
            count, logits.width, ((logits.source, logits.size),), before=(logits.size,)
        )
        likelihood = _log_softmax(tape, chosen)
        del chosen
    cut = Tensor(loss.rows * last * words, logits.width, logits.storage)
    cut.source = tape.record(((logits.source, logits.size),))
    rows = _rows_scored(tape, cut, loss.rows)
    return ops.add(tape, rows, likelihood) if likelihood is not None else rows


def _rows_scored(tape: Tape, logits: Tensor, rows: int) -> Tensor:
    """Return one number a row: each row's log-softmax is made, and kept, by itself."""
    parts = ops.split(tape, logits, [logits.count // rows] * rows)
    scored = [_log_softmax(tape, part) for part in parts]
    del parts
    return tape.make(rows, FLOAT32, [(one.source, one.size) for one in scored])


def _log_softmax(tape: Tape, logits: Tensor) -> Tensor:
    """Return the log-probability of one word a row; autocast computes it in float32."""
    wide = ops.cast(tape, logits, FLOAT32) if tape.low is not None else logits
    soft = tape.make(wide.count, wide.width, ((wide.source, wide.size),))
    tape.keep(soft, soft.storage)
    del wide
    return tape.make(1, soft.width, ((soft.source, soft.size),))
