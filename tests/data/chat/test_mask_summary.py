from __future__ import annotations

from tests.data.chats import Tokenizers, assistant, chat, system, user
from tui_ft.data import Document, MaskSummary, mask_row, refusal
from tui_ft.data.chat.mask_summary import Tally

ROW = chat(user("Hi"), assistant("Hello there"))


def test_counts(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    for line, answer in enumerate(("yes", "Hello there", "no no no no"), start=1):
        row = mask_row(chat(user("Hi"), assistant(answer)), tokenizers["phi4"], max_length=11)
        summary.add(line, row)
    assert (summary.rows, summary.tokens, summary.supervised) == (3, 10 + 11 + 13, 2 + 3 + 5)
    assert (summary.cut.count, summary.cut.lines) == (1, [3])
    assert (summary.tokens_cut, summary.supervised_cut) == (2, 2)
    assert (summary.unended.lines, summary.end_cut.lines) == ([3], [3])
    assert summary.unsupervised.count == 0
    assert summary.supervised_share == 10 / 34
    assert refusal(summary) is None
    cut, unended = summary.warnings(11)
    assert cut == (
        "max_length 11 cuts 33 % of rows and 5.9 % of tokens (line 3); "
        "the longest row has 13 tokens"
    )
    assert unended == "1 of 3 rows never end the assistant's turn (line 3)"


def test_lengths_by_nearest_rank(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    assert summary.lengths_at() == (0, 0, 0, 0, 0)
    for number in range(1, 101):
        summary.add(number, mask_row(Document("a" * number), tokenizers["alpaca_plain"]))
    assert summary.lengths_at() == (51, 91, 96, 100, 101)
    assert summary.lengths_at((0,)) == (2,)


def test_refuses_rows_that_teach_nothing(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    for line in (1, 2, 3):
        summary.add(line, mask_row(ROW, tokenizers["phi4"], max_length=3))
    said = refusal(summary)
    assert said is not None
    assert said.startswith("no row has a token to learn from (lines 1, 2, 3)")
    assert "training.max_length" in said


def test_refuses_rows_that_never_end(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    summary.add(7, mask_row(ROW, tokenizers["alpaca_plain"]))
    said = refusal(summary)
    assert said is not None
    assert "would never learn to stop (line 7)" in said
    assert "model.chat_template" in said


def test_refuses_rows_whose_end_is_cut_off(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    summary.add(7, mask_row(ROW, tokenizers["phi4"], max_length=9))
    said = refusal(summary)
    assert said is not None
    assert "max_length cuts the end off every row" in said


def test_one_end_is_enough(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    summary.add(1, mask_row(ROW, tokenizers["alpaca_plain"]))
    summary.add(2, mask_row(ROW, tokenizers["phi4"]))
    assert refusal(summary) is None


def test_rows_left_out_are_told_by_reason(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    for line in (4, 5):
        summary.add(
            line, mask_row(chat(system("x"), user("y"), assistant("z")), tokenizers["gemma"])
        )
    assert summary.rows_left_out == 2
    reason = "the chat template refuses it: System role not supported"
    assert summary.warnings(10) == [f"2 rows are left out: {reason} (lines 4, 5)"]
    assert refusal(summary) == f"no row is left to learn from: {reason} (lines 4, 5)"
    assert refusal(MaskSummary()) == "no row is left to learn from"


def test_habits_of_templates_are_told(tokenizers: Tokenizers) -> None:
    summary = MaskSummary()
    summary.add(1, mask_row(ROW, tokenizers["deepseek_r1"]))
    summary.add(2, mask_row(ROW, tokenizers["vicuna"]))
    summary.add(3, mask_row(Document("<s><s>Hi"), tokenizers["llama2"]))
    unlike, straddling, double = summary.warnings(100)
    assert unlike.startswith("in 2 of 3 rows the chat template shows an answer")
    assert straddling.startswith("in 1 of 3 rows a token holds the end of the prompt")
    assert double.startswith("1 rows begin with two begin-of-text tokens (line 3)")


def test_only_the_first_lines_are_kept() -> None:
    tally = Tally()
    for line in range(1, 9):
        tally.add(line)
    assert (tally.count, tally.where()) == (8, "lines 1, 2, 3, 4, 5, …")


def test_reasons_without_number_are_counted_together() -> None:
    """A template may quote the row it refuses: a reason for each row would fill the memory."""
    summary = MaskSummary()
    for line in range(1, 1_001):
        summary.add(line, f"the chat template refuses it: {line}")
    assert summary.rows_left_out == 1_000
    assert len(summary.left_out) == 21
    assert summary.warnings(10)[-1] == (
        "980 rows are left out: other reasons (lines 21, 22, 23, 24, 25, …)"
    )
