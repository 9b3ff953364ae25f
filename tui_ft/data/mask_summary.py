"""What the masks of a whole data set add up to: what is learned, what is cut, what is wrong."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

from tui_ft import text
from tui_ft.data.loss_mask import MaskedRow

_EXAMPLES: Final = 5


@dataclass(slots=True)
class Tally:
    """How many rows have something in common, and the first few by line."""

    count: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        """Count one more row."""
        self.count += 1
        if len(self.lines) < _EXAMPLES:
            self.lines.append(line)

    def where(self) -> str:
        """Return `line 3` or `lines 3, 9, 12, …`."""
        more = ", …" if self.count > len(self.lines) else ""
        word = "line" if self.count == 1 else "lines"
        return f"{word} {', '.join(map(str, self.lines))}{more}"


@dataclass(slots=True)
class MaskSummary:
    """Counts over all rows. Lengths are in tokens, before rows were cut."""

    rows: int = 0
    tokens: int = 0
    supervised: int = 0
    tokens_cut: int = 0
    supervised_cut: int = 0
    cut: Tally = field(default_factory=Tally)
    unsupervised: Tally = field(default_factory=Tally)
    unended: Tally = field(default_factory=Tally)
    double_bos: Tally = field(default_factory=Tally)
    _lengths: array[int] = field(default_factory=lambda: array("I"))

    def add(self, line: int, row: MaskedRow) -> None:
        """Take in one masked row, read from ``line``."""
        self.rows += 1
        self.tokens += row.full_length
        self.supervised += row.full_supervised
        self._lengths.append(row.full_length)
        if len(row.input_ids) < row.full_length:
            self.cut.add(line)
            self.tokens_cut += row.full_length - len(row.input_ids)
            self.supervised_cut += row.full_supervised - row.supervised_count
        if not row.supervised_count:
            self.unsupervised.add(line)
        if not row.ends_turn:
            self.unended.add(line)
        if row.double_bos:
            self.double_bos.add(line)

    @property
    def supervised_share(self) -> float:
        """The share of tokens that carry loss."""
        return self.supervised / self.tokens if self.tokens else 0.0

    def length_at(self, percentile: float) -> int:
        """Return the row length in tokens at ``percentile`` (0 to 100), by the nearest rank."""
        if not self._lengths:
            return 0
        ordered = sorted(self._lengths)
        rank = min(len(ordered) - 1, max(0, -(-len(ordered) * percentile // 100) - 1))
        return ordered[int(rank)]

    def warnings(self, max_length: int) -> list[str]:
        """Return what a person should know before training on these rows."""
        said = []
        if self.cut.count:
            said.append(
                f"max_length {max_length} cuts {text.percent(self.cut.count / self.rows)} of rows "
                f"and {text.percent(self.tokens_cut / self.tokens)} of tokens "
                f"({self.cut.where()}); the longest row has {self.length_at(100):,} tokens"
            )
        if self.unsupervised.count:
            said.append(
                f"{self.unsupervised.count:,} of {self.rows:,} rows have no token left to learn "
                f"from and are left out ({self.unsupervised.where()})"
            )
        if 0 < self.unended.count < self.rows:
            said.append(
                f"{self.unended.count:,} of {self.rows:,} rows never end the assistant's turn "
                f"({self.unended.where()})"
            )
        if self.double_bos.count:
            said.append(
                f"{self.double_bos.count:,} rows begin with two begin-of-text tokens "
                f"({self.double_bos.where()}): the data holds one and the template adds another"
            )
        return said


def refusal(summary: MaskSummary) -> str | None:
    """Return why a run on these rows would teach nothing, or teach never to stop; else None."""
    if not summary.rows:
        return "no row is left to learn from"
    if summary.unsupervised.count == summary.rows:
        cut = summary.supervised and "max_length cuts every answer off; raise training.max_length"
        return (
            f"no row has a token to learn from ({summary.unsupervised.where()}): "
            f"{cut or 'the assistant says nothing in them'}"
        )
    if summary.unended.count == summary.rows:
        return (
            "no row ends the assistant's turn: the model would never learn to stop "
            f"({summary.unended.where()}). The chat template puts no end-of-turn token after the "
            "assistant's content: give one that does with model.chat_template"
        )
    return None
