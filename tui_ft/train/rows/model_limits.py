"""What a model has an embedding for, asked of rows before it is trained on them.

A token beyond the table is an IndexError on the CPU. On a GPU it is an assertion of the device,
hours into an epoch at worst, that names neither the row nor the token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from tui_ft.train.errors import RunFailure

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job


def refuse_tokens_beyond_the_model(job: Job) -> None:
    """Refuse rows with tokens that the model has no embedding for.

    A padding token beyond them, as tokenizers have that were given one by hand, is set to the
    end-of-text token: nobody attends to padding, but its embedding is looked up all the same.

    Raises:
        RunFailure: a row has such a token.
    """
    known = getattr(job.model.get_input_embeddings(), "num_embeddings", None)
    if known is None:
        return
    _settle_padding(job, known)
    highest = max((int(pc.max(ids).as_py() or 0) for ids in _ids_of(job)), default=0)
    if highest < known:
        return
    token = job.tokenizer.convert_ids_to_tokens(highest)
    raise RunFailure(
        f"the rows hold the token {token!r} (number {highest:,}), and the model has embeddings for "
        f"{known:,}: its tokenizer knows more tokens than it does",
        "take the tokenizer that came with the model",
        "or give the model more rows with transformers' resize_token_embeddings, save it, and name "
        "embed_tokens and lm_head in method.modules_to_save",
    )


def _settle_padding(job: Job, known: int) -> None:
    tokenizer = job.tokenizer
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    if pad is not None and pad < known:
        return
    if end is None or end >= known:
        raise RunFailure(
            "the tokenizer has neither a padding nor an end-of-text token that the model knows",
            "set pad_token in its tokenizer_config.json to a token that the model has",
        )
    job.note(
        f"the padding token {tokenizer.pad_token!r} (number {pad:,}) is none of the model's "
        f"{known:,} tokens: {tokenizer.eos_token!r} pads"
    )
    tokenizer.pad_token = tokenizer.eos_token


def _ids_of(job: Job) -> Iterator[pa.ChunkedArray]:
    """Yield the token ids of all columns that hold such."""
    for rows in (job.data.train, job.data.eval):
        if rows is None:
            continue
        # The table of the file, of which rows may be a part.
        table = rows.data.table
        for name in table.column_names:
            if name.endswith("input_ids"):
                yield pc.list_flatten(table.column(name))
