"""What a survey says, as advice takes it."""

from __future__ import annotations

from tui_ft.advise.facts import data_facts
from tui_ft.survey.summary import Numbers, Summary
from tui_ft.survey.tokens import TokenSummary
from tui_ft.survey.verdict import verdict_of

SUMMARY = Summary(
    "d.jsonl", "done", rows=1_000, usable=1_000, numbers=Numbers(languages={"en": 1.0})
)


def test_without_tokens_a_length_is_guessed_by_words_and_said_to_be_assumed() -> None:
    found = data_facts("d.jsonl", verdict_of(SUMMARY), None, None, {99: 400})
    assert found.max_length is not None
    assert found.max_length.how == "assumed"
    assert found.max_length.value == 832  # 2 x 400 + 32, in steps of 64: two tokens a word
    assert "400 words" in found.max_length.note
    assert data_facts("d.jsonl", verdict_of(SUMMARY), None).max_length is None


def test_counted_tokens_go_before_any_guess() -> None:
    tokens = TokenSummary(
        "m", "done", rows=1_000, rows_total=1_000, lengths={90: 1_000}, answers={40: 1_000}
    )
    found = data_facts("d.jsonl", verdict_of(SUMMARY, tokens), tokens, None, {99: 400})
    assert found.max_length is not None
    assert (found.max_length.how, found.max_length.value) == ("measured", 128)
    assert found.longest is not None
    assert found.longest.value == 90
