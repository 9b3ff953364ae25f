"""Checking many rows together finds exactly what asking each check of each row finds."""

# ruff: noqa: E501, RUF001 - a table; full width and other scripts are meant
from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_row_checks import CLEAN, PLANTED
from tui_ft.data import (
    Completion,
    Conversation,
    Document,
    Row,
    RowProblem,
    convert,
    detect,
    read_rows,
)
from tui_ft.data.checks import ROW_CHECKS
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt
from tui_ft.data.row_view import RowView, view_of
from tui_ft.inspection.glance import JoinedRows, found_in_rows

SHARED = Path(__file__).parents[3] / "shared" / "data"

# What the checks look for, its near misses, and what stands around it.
PIECES = (
    *("I'm sorry, but I can't help with that. ", "Ich kann dir dabei nicht helfen", "Je ne peux "),
    *("no puedo ayudar", "抱歉，我无法提供", "i cannot comply", "“Sorry, I can't assist", "As an AI "),
    *("as an artificial intelligence", "as a language model", "I am ChatGPT", "trained by Google"),
    *("my training data", "Als KI", "als künstliche Intelligenz", "en tant qu'IA", "como IA,"),
    *("como modelo de lenguaje", "作为人工智能", "身为语言模型", "由OpenAI开发", "我的知识截止"),
    *("TODO: more", "FIXME", "XXX:", "[insert name]", "<your name here>", "Lorem ipsum", "...", "n/a"),
    *("```", "\n```\n", "and", " the", ", ", "(", "。", "，", "The end. ", "One more line\n", "word "),
    *("https://a.org/b ", "www.c.org ", "12 ", "3.5, ", "99%", "Ã©", "Â»", "â€™", "Ð¿Ñ€Ð¸", "ä¸­æ–‡"),
    *("\ufffd", "\x07", "\x85", "\x92", "\u200b", "\u200d", "\u202e", "\u00ad", "\ufeff", "\u061c"),
    *("\u180e", "\U000e0041", "\u2066", "\x1b[31m", "<br>", "<BR/>", "<br />", "&nbsp;", "&amp;", "<p>"),
    *("<|im_start|>", "[INST]", "<<SYS>>", "<start_of_turn>", "<bos>", "</s>", "<s>", "<｜User｜>"),
    *("<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "a@b.de", "anna@posteo.de", "AKIAQ7RT4ZP2XMB9KD3W"),
    *("ghp_a8Sd9fK2lQ0zXcVbNm1qWeRtYuIoP3456789", "sk-a8Sd9fK2lQ0zXcVbNm1qWeRtY"),
    *("https://me:hunter22x9@db.org", "AIzaSyA1234567890abcdefghijklmnopqrstuv", "eyJhbGciOiJI"),
    *("+49 30 901820", "212-736-5000", "(212) 736-5000", "+1-21-22-33-44", "手机：13912345678", "１２３"),
    *("4539 1488 0343 6467", "DE44 5001 0517 5407 3249 31", "٣٤٥", "+3٤ 56 78 90 12 34", "é", "ß", "😀"),
    *("Say it again. " * 4, "same old line here\n" * 4, "又是一样的话。" * 4, "abc def " * 70, "\ud800"),
)  # fmt: skip
_TEXT = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(max_size=8), st.sampled_from((" ", "\n", ". "))),
    max_size=12,
).map("".join)
_ROLES = st.sampled_from(("user", "assistant", "system", "tool"))
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": _ROLES, "content": _TEXT}), min_size=1, max_size=6
)
_COMPLETIONS = st.builds(Completion, _TEXT, _TEXT)
_ITEMS = st.one_of(
    _COMPLETIONS,
    st.builds(Document, _TEXT),
    st.builds(Labelled, _TEXT, st.sampled_from("ab")),
    st.builds(Prompt, _TEXT),
    st.builds(Prompt, _MESSAGES.map(tuple)),
    st.builds(Judged, _COMPLETIONS, st.booleans()),
    st.builds(Pair, _COMPLETIONS, _COMPLETIONS),
    st.builds(lambda messages: Conversation(tuple(messages)), _MESSAGES),
)


def _one_by_one(views: list[RowView]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, view in enumerate(views):
        for check in ROW_CHECKS:
            if check.found_in(view):
                found.setdefault(check.about.id, []).append(row)
    return found


@settings(max_examples=400)
@given(st.lists(_ITEMS, max_size=6))
def test_rows_made_of_what_checks_look_for(items: list[AnyItem]) -> None:
    views = [view_of(item) for item in items]
    assert found_in_rows(JoinedRows(views)) == _one_by_one(views)


def test_what_was_planted_among_clean_rows() -> None:
    views = [view_of(item) for item in (*CLEAN, *(item for _, item in PLANTED), *CLEAN)]
    found = found_in_rows(JoinedRows(views))
    assert found == _one_by_one(views)
    for at, (check, _) in enumerate(PLANTED, start=len(CLEAN)):
        assert at in found[check]


def test_long_rows_by_the_hundred() -> None:
    generator = random.Random(5)
    prose = "The sum of 12 and 30 is 42. A plain line follows,\n- as items do: one; two (three)\n"
    words = (*prose.split(" "), "\n", "1,200", "$5", "3/4", "Anna", "OK", "it's", "déjà", "中文。")

    def text(most: int) -> str:
        count = generator.randint(1, most)
        return " ".join(
            generator.choice(PIECES if generator.random() < 0.03 else words) for _ in range(count)
        )

    for _ in range(4):
        views = [view_of(Completion(text(30), text(150))) for _ in range(300)]
        assert found_in_rows(JoinedRows(views)) == _one_by_one(views)


def test_of_no_rows() -> None:
    assert found_in_rows(JoinedRows([])) == {}


@pytest.mark.parametrize(
    "name", ["alpaca_en_demo.json", "dpo_zh_demo.json", "gsm8k_test.jsonl", "gsm8k_train.jsonl"]
)
def test_real_files(name: str) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"{name} is not here")
    rows = [row for row in read_rows(SHARED / name) if isinstance(row, Row)][:2000]
    detection = detect(rows[:1000])
    items = [convert(row, detection) for row in rows]
    views = [view_of(item) for item in items if not isinstance(item, RowProblem)]
    assert views
    assert found_in_rows(JoinedRows(views)) == _one_by_one(views)
