"""Rows of another data set among those that are trained on, by their share of the tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets

from tui_ft import text
from tui_ft.spec.run_spec import DataSpec


def mix_rows(rows: Dataset, others: Dataset, data: DataSpec) -> tuple[Dataset, list[str]]:
    """Return ``rows`` with so many of ``others`` that these make up `data.mix.weight` of tokens.

    They are taken in an order that the seed decides, each once before any is taken twice. The
    trainer shuffles what comes of it.

    Returns:
        The rows, and what a person should know of it.
    """
    assert data.mix is not None
    weight = data.mix.weight
    tokens = sum(map(_tokens, rows))
    wanted = tokens * weight / (1 - weight)
    lengths = [_tokens(row) for row in others]
    chance = torch.Generator().manual_seed(data.split_seed)
    picked: list[int] = []
    taken = 0
    while taken < wanted:
        for position in torch.randperm(len(lengths), generator=chance).tolist():
            if taken >= wanted:
                break
            picked.append(position)
            taken += lengths[position]
    times = math.ceil(len(picked) / len(lengths))
    said = []
    if times > 1:
        said.append(
            f"data.mix: {len(lengths):,} rows are seen up to {times} times an epoch to make up "
            f"{text.percent(weight)} of the tokens"
        )
    return concatenate_datasets([rows, others.select(picked)]), said


def _tokens(row: Mapping[str, Any]) -> int:
    return sum(len(ids) for name, ids in row.items() if name.endswith("input_ids"))
