"""The order of rows in which those of about a length come together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class LengthOrder(LengthGroupedSampler):  # type: ignore[misc]  # transformers is untyped here
    """transformers' sampler, with an order that the seed and the epoch decide.

    Its own takes torch's global random numbers as they come: a resumed run would go on with the
    rows of an epoch in another order than the one it has gone through half of.
    """

    def __init__(self, rows: Any, batch_size: int, args: TrainingArguments) -> None:  # noqa: ANN401
        together = batch_size * args.gradient_accumulation_steps * args.world_size
        super().__init__(together, lengths=[len(ids) for ids in rows["input_ids"]])
        self._seed = args.seed if args.data_seed is None else args.data_seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of another epoch; accelerate's loader says which."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the rows."""
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)
        return iter(order)
