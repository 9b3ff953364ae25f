"""What a row asks, whatever its format, and what the model is given to answer it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tui_ft.data import Row, RowProblem, convert, detect
from tui_ft.data.chat.prompts import Asked, asked_in, asked_text
from tui_ft.data.chat.tokenizer import load_chat_tokenizer

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
OTHER = {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "s"}


def _asked(values: dict[str, Any]) -> Asked | None:
    row = Row(1, values)
    item = convert(row, detect([row]))
    assert not isinstance(item, RowProblem)
    return asked_in(item)


@pytest.mark.parametrize(
    ("values", "prompt", "reference"),
    [
        ({"messages": [SYSTEM, USER, ANSWER]}, (SYSTEM, USER), "a"),
        ({"messages": [USER, ANSWER, USER, OTHER]}, (USER, ANSWER, USER), "b"),
        ({"messages": [USER, ANSWER, USER]}, (USER, ANSWER, USER), None),
        ({"prompt": "q", "completion": "a"}, "q", "a"),
        ({"prompt": [USER], "completion": [ANSWER]}, (USER,), "a"),
        ({"question": "q", "answer": "#### 1"}, (USER,), "#### 1"),  # as GSM8K has it
        ({"instruction": "q", "output": "a"}, (USER,), "a"),
        ({"prompt": "q"}, "q", None),
        ({"prompt": [SYSTEM, USER]}, (SYSTEM, USER), None),
        ({"question": "q"}, (USER,), None),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "q", "a"),
        ({"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]}, (USER,), "a"),
        ({"prompt": "q", "completion": "a", "label": True}, "q", "a"),
        ({"prompt": "q", "completion": "a", "label": False}, "q", None),
    ],
    ids=str,
)
def test_a_question_and_its_answer(
    values: dict[str, Any], prompt: Any, reference: str | None
) -> None:
    asked = _asked(values)
    assert asked is not None
    assert asked.prompt == prompt
    assert asked.reference == reference
    assert asked.shown == "q"


@pytest.mark.parametrize("values", [{"text": "words"}, {"text": "words", "label": "good"}], ids=str)
def test_what_asks_nothing(values: dict[str, Any]) -> None:
    assert _asked(values) is None


def test_a_dialogue_goes_through_the_template_and_a_text_does_not(tiny_llama: Path) -> None:
    tokenizer = load_chat_tokenizer(tiny_llama)
    rendered = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    for reference in (None, "a", "a longer one"):
        assert asked_text(Asked((USER,), reference=reference), tokenizer) == rendered
    assert asked_text(Asked("q", reference="a"), tokenizer) == "q"


def test_a_template_without_a_generation_prompt_still_gives_the_answers_header(
    tiny_llama: Path, tmp_path: Path
) -> None:
    template = tmp_path / "plain.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}")
    tokenizer = load_chat_tokenizer(tiny_llama, template)
    assert asked_text(Asked((USER,)), tokenizer) == "[user]q\n[assistant]"
