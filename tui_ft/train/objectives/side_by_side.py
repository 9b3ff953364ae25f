"""What trl's experimental trainers of pairs ask for: both answers side by side, with labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from tui_ft.train.objectives.common import Job, SoundnessTrainer, adapter_of, build, own_fields
from tui_ft.train.objectives.pairs import SIDES, Batch, attention_of, padded
from tui_ft.train.rows.protocol import IGNORED, TokenRow


class _Tokens(Dataset[Any]):
    """Rows that are tokens already, for trainers that tokenise with `map` when they are made."""

    def __init__(self, rows: Any) -> None:  # noqa: ANN401 - datasets is untyped here
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> TokenRow:
        row: TokenRow = self._rows[index]
        return row

    def map(self, *_: Any, **__: Any) -> _Tokens:
        """Return the rows as they are."""
        return self


class _SideBySide:
    """Makes a batch of pairs: for each side input_ids, attention_mask and labels."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad = pad_token_id

    def __call__(self, rows: Sequence[TokenRow]) -> Batch:
        """Return for either side tensors of (pairs, tokens)."""
        batch: dict[str, torch.Tensor] = {}
        for side in SIDES:
            ids = [row[f"{side}_input_ids"] for row in rows]
            learned = padded([row[f"{side}_supervised"] for row in rows], 0).bool()
            batch[f"{side}_input_ids"] = padded(ids, self._pad)
            batch[f"{side}_attention_mask"] = attention_of(ids)
            batch[f"{side}_labels"] = batch[f"{side}_input_ids"].where(learned, IGNORED)
        return batch


def build_on_pairs(
    job: Job, trainer_class: Callable[..., Any], config_class: Callable[..., Any]
) -> SoundnessTrainer:
    """Return a trainer of pairs that holds no reference, its adapter attached."""
    data = job.data
    ready = dataclasses.replace(
        data,
        train=_Tokens(data.train),
        eval=None if data.eval is None else _Tokens(data.eval),
    )
    own = {
        **own_fields(job),
        "max_length": job.spec.training.max_length,
        "remove_unused_columns": False,
    }
    trainer: Any = build(
        dataclasses.replace(job, data=ready),
        trainer_class,
        config_class,
        own,
        peft_config=adapter_of(job),
        data_collator=_SideBySide(job.tokenizer.pad_token_id),
    )
    # It would warn, at each batch, that it knows only its own collator, whose shape ours has.
    trainer.use_dpo_data_collator = True
    sound: SoundnessTrainer = trainer
    return sound
