"""What the masks of a whole data set add up to: what is learned, what is cut, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tui_ft import text
from tui_ft.data.chat.loss_mask import MaskedRow
from tui_ft.data.counts import PERCENTILES, percentiles

_EXAMPLES: Final = 5
_MOST_REASONS: Final = 20
_OTHER_REASONS: Final = "other reasons"


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
    """Counts over all rows. Lengths are in tokens, before rows were cut.

    Attributes:
        rows: rows that became tokens.
        tokens: their tokens.
        supervised: those that carry loss.
        tokens_cut: tokens that `max_length` cuts off.
        supervised_cut: those of them that would have carried loss.
        left_out: reason -> rows that could not be masked at all; beyond the first 20 reasons,
            rows are counted under `other reasons`.
        cut: rows that `max_length` cuts.
        unsupervised: rows in which no token carries loss, after the cut.
        unended: rows in which no end of turn carries loss, after the cut.
        end_cut: those of them whose end of turn was cut off.
        unlike_inference: rows whose answers stand in the text otherwise than at inference.
        straddling: rows in which a token holds the end of a prompt and the beginning of its answer.
        double_bos: rows that begin with two begin-of-text tokens.
    """

    rows: int = 0
    tokens: int = 0
    supervised: int = 0
    tokens_cut: int = 0
    supervised_cut: int = 0
    left_out: dict[str, Tally] = field(default_factory=dict)
    cut: Tally = field(default_factory=Tally)
    unsupervised: Tally = field(default_factory=Tally)
    unended: Tally = field(default_factory=Tally)
    end_cut: Tally = field(default_factory=Tally)
    unlike_inference: Tally = field(default_factory=Tally)
    straddling: Tally = field(default_factory=Tally)
    double_bos: Tally = field(default_factory=Tally)
    _lengths: Counter[int] = field(default_factory=Counter)

    def add(self, line: int, row: MaskedRow | str) -> None:
        """Take in what `mask_row` made of the row at ``line``: tokens, or why there are none."""
        if isinstance(row, str):
            self._leave_out(line, row)
            return
        self.rows += 1
        self.tokens += row.full_length
        self.supervised += row.full_supervised
        self._lengths[row.full_length] += 1
        self.tokens_cut += row.cut_tokens
        self.supervised_cut += row.full_supervised - row.supervised_count
        ends_when_whole = any(turn.end_of_turn for turn in row.turns)
        for tally, applies in (
            (self.cut, row.cut_tokens > 0),
            (self.unsupervised, row.supervised_count == 0),
            (self.unended, not row.ends_turn),
            (self.end_cut, not row.ends_turn and ends_when_whole),
            (self.unlike_inference, not row.as_generated),
            (self.straddling, row.straddling > 0),
            (self.double_bos, row.double_bos),
        ):
            if applies:
                tally.add(line)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, before the cut; 0 without rows."""
        return max(self._lengths, default=0)

    def _leave_out(self, line: int, reason: str) -> None:
        """Count the row under its reason; templates that quote a row give each its own."""
        if reason not in self.left_out and len(self.left_out) >= _MOST_REASONS:
            reason = _OTHER_REASONS
        self.left_out.setdefault(reason, Tally()).add(line)

    @property
    def supervised_share(self) -> float:
        """The share of tokens that carry loss."""
        return self.supervised / self.tokens if self.tokens else 0.0

    @property
    def rows_left_out(self) -> int:
        """Rows that could not be masked at all."""
        return sum(tally.count for tally in self.left_out.values())

    def lengths_at(self, wanted: Sequence[float] = PERCENTILES) -> tuple[int, ...]:
        """Return the row lengths in tokens at percentiles (0 to 100), by the nearest rank."""
        return percentiles(self._lengths, wanted)

    def warnings(self, max_length: int) -> list[str]:
        """Return what a person should know before training on these rows, worst first."""
        said = [self._say_left_out(reason, tally) for reason, tally in self.left_out.items()]
        if self.cut.count:
            said.append(
                f"max_length {max_length} cuts {text.percent(self.cut.count / self.rows)} of rows "
                f"and {text.percent(self.tokens_cut / self.tokens)} of tokens "
                f"({self.cut.where()}); the longest row has {self.lengths_at((100,))[0]:,} tokens"
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
        return said + self._say_template_habits()

    def _say_left_out(self, reason: str, tally: Tally) -> str:
        rows = "row is" if tally.count == 1 else "rows are"
        return f"{tally.count:,} {rows} left out: {reason} ({tally.where()})"

    def _say_template_habits(self) -> list[str]:
        said = []
        if self.unlike_inference.count:
            said.append(
                f"in {self.unlike_inference.count:,} of {self.rows:,} rows the chat template shows "
                "an answer, or what comes before it, otherwise than the model meets it at "
                f"inference ({self.unlike_inference.where()}): templates drop the reasoning of "
                "past turns, move the system message, or have no generation prompt. With "
                "objective.loss_on last_assistant only the last answer is learned"
            )
        if self.straddling.count:
            said.append(
                f"in {self.straddling.count:,} of {self.rows:,} rows a token holds the end of the "
                f"prompt and the beginning of the answer ({self.straddling.where()}): at inference "
                "the prompt ends within that token. End the prompt before its last space"
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
        commonest = max(summary.left_out.items(), key=lambda item: item[1].count, default=None)
        if commonest is None:
            return "no row is left to learn from"
        reason, tally = commonest
        return f"no row is left to learn from: {reason} ({tally.where()})"
    if summary.unsupervised.count == summary.rows:
        cut = summary.supervised and "max_length cuts every answer off; raise training.max_length"
        return (
            f"no row has a token to learn from ({summary.unsupervised.where()}): "
            f"{cut or 'the assistant says nothing in them'}"
        )
    if summary.unended.count < summary.rows:
        return None
    if summary.end_cut.count == summary.rows:
        return (
            "no row ends the assistant's turn: the model would never learn to stop "
            f"({summary.unended.where()}). max_length cuts the end off every row; raise "
            "training.max_length"
        )
    return (
        "no row ends the assistant's turn: the model would never learn to stop "
        f"({summary.unended.where()}). The chat template puts no end-of-turn token after the "
        "assistant's content: give one that does with model.chat_template"
    )
