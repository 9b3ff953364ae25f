"""How long rows are, in tokens where a model is known; what a max_length cuts, packing saves."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from tui_ft import text
from tui_ft.data import objectives_of
from tui_ft.data.counts import PERCENTILES, Counts, histogram, percentiles
from tui_ft.survey.packing import sequences_in_blocks
from tui_ft.survey.summary import Summary
from tui_ft.survey.tokens import TokenSummary, packed_sequences, steps_per_epoch
from tui_ft.widgets.signs import ascii_only

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = " .:-=+*#"
_NARROWEST: Final = 10
_WIDEST: Final = 60
_BATCH: Final = 16
_REST_SECONDS: Final = 0.001
"""Between a thousand rows and the next: Python runs one thread at a time, and people type."""


class LengthsPane(Vertical):
    """A histogram and figures; follows the max_length that is chosen."""

    class Packed(Message):
        """Rows were packed as trl packs them."""

        def __init__(self, folder: Path, max_length: int, sequences: int) -> None:
            self.of, self.sequences = (folder, max_length), sequences
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="box")
        self.border_title = "Length"
        self.border_subtitle = "m model  l max_length"
        self._summary: Summary | None = None
        self._tokens: TokenSummary | None = None
        self._packing: tuple[Path, int] | None = None
        self._sequences: int | None = None
        self._max_length = 0

    def compose(self) -> ComposeResult:
        """Lay out the figures."""
        yield Static(id="lengths")

    def show(
        self, summary: Summary, tokens: TokenSummary | None, folder: Path | None, max_length: int
    ) -> None:
        """Show the figures at ``max_length``; ``folder`` is that of the tokens."""
        self._summary, self._tokens, self._max_length = summary, tokens, max_length
        if tokens is not None and tokens.is_over and folder is not None:
            self._pack(folder, max_length)
        self._fill()

    def on_resize(self) -> None:
        """Draw as wide as there is room."""
        self._fill()

    def _pack(self, folder: Path, max_length: int) -> None:
        """Pack all rows, in a thread: a million take a second."""
        if self._packing == (folder, max_length):
            return
        self._packing, self._sequences = (folder, max_length), None
        run = partial(self._count, folder, max_length)
        self.run_worker(run, thread=True, group="pack", exclusive=True, exit_on_error=False)

    def _count(self, folder: Path, max_length: int) -> None:
        worker = get_current_worker()
        sequences = 0
        for found in sequences_in_blocks(folder, max_length):
            sequences += found
            time.sleep(_REST_SECONDS)
            if worker.is_cancelled:
                return
        self.post_message(self.Packed(folder, max_length, sequences))

    def on_lengths_pane_packed(self, message: Packed) -> None:
        """Say what packing saves."""
        message.stop()
        if message.of == self._packing:
            self._sequences = message.sequences
            self._fill()

    def _fill(self) -> None:
        shown = self.query_one("#lengths", Static)
        if self._summary is None:
            return
        if self._tokens is None or not self._tokens.lengths:
            shown.update(words(self._summary))
        else:
            layout = self._summary.layout
            shown.update(
                lengths(
                    self._tokens,
                    self._max_length,
                    self._sequences,
                    shown.size.width,
                    is_packed=layout is not None and "sft" in objectives_of(layout.format),
                )
            )


def words(summary: Summary) -> Content:
    """Return how many words rows have, as long as no model is known."""
    at = summary.numbers.words_at
    return Content(
        f"words  p50 {at.get(50, 0):,}  p95 {at.get(95, 0):,}  p99 {at.get(99, 0):,}  "
        f"max {at.get(100, 0):,}\n`m` names a model, whose tokens are counted then"
    )


def lengths(
    tokens: TokenSummary, max_length: int, packed: int | None, width: int, *, is_packed: bool
) -> Content:
    """Return how long rows are as tokens, and what ``max_length`` does.

    Args:
        is_packed: whether rows of this kind can be packed.
        packed: sequences that hold all rows, as trl packs them; None before that is known.
        width: cells to draw in.
    """
    cut = tokens.at(max_length)
    best = tokens.recommended_max_length()
    advice = "recommended" if best == max_length else f"recommended is {best:,}"
    shares = f"{text.percent(cut.rows_share)} of rows, {text.percent(cut.tokens_share)} of tokens"
    return Content("\n").join(
        [
            *_bars(tokens.lengths, width),
            Content(f"{'tokens':<8}" + "".join(f"{name:>7}" for name in _headings())),
            _figures("rows", tokens.lengths),
            _figures("prompts", tokens.prompts),
            _figures("answers", tokens.answers),
            Content(f"max_length {max_length:,}: {advice}"),
            Content(f"it cuts {shares}"),
            *(_packing(tokens, max_length, packed) if is_packed else []),
            Content(f"learned {text.percent(tokens.supervised_share)} of tokens, before the cut"),
        ]
    )


def _packing(tokens: TokenSummary, max_length: int, packed: int | None) -> list[Content]:
    """Return what packing saves; about, until rows have been packed one by one."""
    sequences = packed_sequences(tokens.lengths, max_length) if packed is None else packed
    saved = text.percent(1 - sequences / max(1, tokens.rows))
    steps, fewer = (steps_per_epoch(rows, _BATCH) for rows in (tokens.rows, sequences))
    return [
        Content(f"packed {sequences:,} sequences, {saved} fewer than rows"),
        Content(f"batch {_BATCH}: {steps:,} steps an epoch, {fewer:,} packed"),
    ]


def _headings() -> list[str]:
    return ["max" if at == 100 else f"p{at}" for at in PERCENTILES]  # noqa: PLR2004 - of 100


def _figures(name: str, counts: Counts) -> Content:
    return Content(f"{name:<8}" + "".join(f"{value:>7,}" for value in percentiles(counts)))


def _bars(counts: Counts, width: int) -> list[Content]:
    bins, step = histogram(counts, max(_NARROWEST, min(_WIDEST, width - 4)))
    top = max(bins)
    blocks = _ASCII_BLOCKS if ascii_only() else _BLOCKS
    bars = "".join(blocks[-(-rows * (len(blocks) - 1) // top)] for rows in bins)
    return [Content(bars), Content(f"0{f'{step * len(bins):,}':>{len(bins) - 1}}")]
