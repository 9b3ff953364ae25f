"""Texts as vectors of a transformers encoder, and which of them point the same way.

Runs in a process of its own, the only one of a survey that loads torch; see `semantic`. A text's
vector is the mean of its tokens' last hidden states, padding left out, scaled to length 1 (mean
pooling: Reimers and Gurevych 2019, Sentence-BERT, section 3), so that a product of two is their
cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tui_ft.data import DataError
from tui_ft.inspection.rows_again import RowsAgain

_MOST_TOKENS: Final = 512
_TOKENS_AT_ONCE: Final = 16_384
_CHARACTERS_PER_TOKEN: Final = 12  # far more than any text has: what lies beyond is cut anyway

Vectors = npt.NDArray[np.float32]
"""Shape (texts, hidden size)."""


class Encoder:
    """A model that makes vectors of texts: its weights from safetensors, without code of its own.

    Args:
        folder: the model's.

    Raises:
        DataError: it cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call, unused-ignore]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            model = AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **local
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DataError(f"{folder} cannot be loaded as an encoder: {why}") from None
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device).eval()
        known = getattr(model.config, "max_position_embeddings", None) or _MOST_TOKENS
        self._most_tokens = min(_MOST_TOKENS, known, self._tokenizer.model_max_length)
        self.width = int(model.config.hidden_size)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text; of 0 for one without a token."""
        most = self._most_tokens * _CHARACTERS_PER_TOKEN
        given = self._tokenizer(
            [text[:most] for text in texts], truncation=True, max_length=self._most_tokens
        )["input_ids"]
        found = np.zeros((len(texts), self.width), dtype=np.float32)
        # Of one length each, so that little is computed for padding.
        order = sorted((n for n, ids in enumerate(given) if ids), key=lambda n: len(given[n]))
        at, budget = 0, _TOKENS_AT_ONCE
        while at < len(order):
            batch = order[at : at + _rows_within(given, order, at, budget)]
            try:
                found[batch] = self._forward([given[n] for n in batch])
            except self._out_of_memory:
                if len(batch) == 1:
                    raise
                budget //= 2
                continue
            at += len(batch)
        return found

    @property
    def _out_of_memory(self) -> type[BaseException]:
        import torch

        return torch.OutOfMemoryError

    def _forward(self, ids: list[list[int]]) -> Vectors:
        import torch

        given = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            hidden = self._model(**given).last_hidden_state
            mask = given["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            scaled = torch.nn.functional.normalize(mean, dim=1)
        return np.asarray(scaled.cpu().numpy(), dtype=np.float32)


def close_pairs(one: Vectors, two: Vectors, least: float) -> npt.NDArray[np.uint16]:
    """Return the pairs whose cosine is above ``least``: row numbers in ``one`` and in ``two``.

    Args:
        one: at most 65,536 vectors of length 1.
        two: as many at most.

    Returns:
        Shape (2, pairs).
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    cosines = torch.from_numpy(one).to(device) @ torch.from_numpy(two).to(device).T
    pairs = torch.stack((cosines > least).nonzero(as_tuple=True))
    return np.asarray(pairs.cpu().numpy(), dtype=np.uint16)


def _rows_within(given: list[list[int]], order: list[int], at: int, budget: int) -> int:
    """Return how many rows from ``at``, each padded to the longest, are within ``budget``."""
    rows = 1
    while at + rows < len(order) and (rows + 1) * len(given[order[at + rows]]) <= budget:
        rows += 1
    return rows


class _Work:
    """What the tasks of the process look at."""

    rows: RowsAgain
    positions: npt.NDArray[np.int64]
    encoder: Encoder
    file: Path


def prepare(rows: RowsAgain, positions: npt.NDArray[np.int64], model: Path, file: Path) -> None:
    """Load the model in this process.

    Args:
        file: takes the vectors, one for each of ``positions``.

    Raises:
        DataError: the model cannot be used.
    """
    _Work.rows, _Work.positions, _Work.file = rows, positions, file
    _Work.encoder = Encoder(model)


def embed(span: tuple[int, int]) -> None:
    """Write the vectors of some of the positions to the file; of rows in their order."""
    views = _Work.rows.views(_Work.positions[slice(*span)].tolist())
    found = _Work.encoder.vectors([view.whole if view else "" for view in views])
    with _Work.file.open("ab") as file:
        file.write(found.tobytes())


def compare(spans: tuple[tuple[int, int], tuple[int, int]], least: float) -> npt.NDArray[np.uint16]:
    """Return the pairs of two spans of positions that are alike, as `close_pairs`."""
    shape = len(_Work.positions), _Work.encoder.width
    vectors = np.memmap(_Work.file, dtype=np.float32, mode="r", shape=shape)
    one, two = (np.array(vectors[slice(*span)]) for span in spans)
    return close_pairs(one, two, least)
