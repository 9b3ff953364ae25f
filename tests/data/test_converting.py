"""Rows converted one by one: values, what is wrong with them, and that nothing is ever raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.chats import assistant, chat, system, user
from tui_ft.data import Completion, Conversation, Detection, Document, FormatName, Row, RowProblem
from tui_ft.data.converting import convert
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt

ASKED, RIGHT, WRONG = user("Capital?"), assistant("Paris"), assistant("Lyon")


def _convert(format: FormatName, value: Mapping[str, Any]) -> AnyItem | RowProblem:
    """Convert a row whose columns have the names of the parts they play."""
    return convert(Row(7, dict(value)), Detection(format, "", {name: name for name in value}))


@pytest.mark.parametrize(
    ("prompt", "side"),
    [
        ("Capital?", [ASKED, "{}"]),
        (" Capital? ", [ASKED, "{}"]),
        ([ASKED], [ASKED, "{}"]),
        ([ASKED], ["{}"]),
        (None, [ASKED, "{}"]),
        ([], [ASKED, "{}"]),
    ],
)
def test_a_prompt_is_there_once_wherever_it_stands(prompt: Any, side: list[Any]) -> None:
    sides = {
        name: [answer if turn == "{}" else turn for turn in side]
        for name, answer in (("chosen", RIGHT), ("rejected", WRONG))
    }
    assert _convert("preference", {"prompt": prompt, **sides}) == Pair(
        chat(ASKED, RIGHT, prompt_messages=1), chat(ASKED, WRONG, prompt_messages=1)
    )


@pytest.mark.parametrize(
    ("before", "whole", "messages"),
    [
        ([system("s"), ASKED], [ASKED, RIGHT], [system("s"), ASKED, RIGHT]),
        ([ASKED], [system("s"), ASKED, RIGHT], [system("s"), ASKED, RIGHT]),
        (
            [user("Hi"), assistant("Ho"), ASKED],
            [ASKED, RIGHT],
            [user("Hi"), assistant("Ho"), ASKED, RIGHT],
        ),
        (
            [user("Hi"), assistant("Ho"), ASKED],
            [user("Hi"), assistant("Ho"), ASKED, RIGHT],
            [user("Hi"), assistant("Ho"), ASKED, RIGHT],
        ),
    ],
)
def test_sides_that_repeat_a_part_of_the_prompt(
    before: list[Any], whole: list[Any], messages: list[Any]
) -> None:
    pair = _convert(
        "preference", {"prompt": before, "chosen": whole, "rejected": [*whole[:-1], WRONG]}
    )
    assert isinstance(pair, Pair)
    assert pair.chosen == chat(*messages, prompt_messages=len(messages) - 1)
    assert isinstance(pair.rejected, Conversation)
    assert pair.rejected.messages == (*messages[:-1], WRONG)


def test_two_dialogues_part_where_they_differ() -> None:
    shared = [user("Hi"), assistant("Hello"), user("Capital?")]
    pair = _convert("preference", {"chosen": [*shared, RIGHT], "rejected": [*shared, WRONG]})
    assert isinstance(pair, Pair)
    assert isinstance(pair.chosen, Conversation)
    assert (pair.chosen.prompt_messages, pair.chosen.learned_answers) == (3, (3,))


def test_dialogues_that_are_the_same_still_have_an_answer() -> None:
    pair = _convert("preference", {"chosen": [ASKED, RIGHT], "rejected": [ASKED, RIGHT]})
    assert pair == Pair(*[chat(ASKED, RIGHT, prompt_messages=1)] * 2)


@pytest.mark.parametrize(
    ("one", "other", "prompt"),
    [
        ("The sky is blue", "The sky is bland", "The sky is "),
        ("Q: a\nA: yes", "Q: a\nA: no", "Q: a\nA: "),
        ("yes", "no", ""),
        ("a b", "a b c", "a "),
        ("same same", "same same", "same "),
    ],
)
def test_two_texts_part_after_their_last_common_word(one: str, other: str, prompt: str) -> None:
    assert _convert("preference", {"chosen": one, "rejected": other}) == Pair(
        Completion(prompt, one.removeprefix(prompt)), Completion(prompt, other.removeprefix(prompt))
    )


def test_a_text_that_only_begins_like_a_dialogue_is_a_text() -> None:
    assert _convert("text", {"text": "Human: a history"}) == Document("Human: a history")


def test_turns_of_a_dialogue_written_as_one_text() -> None:
    text = "\n\nHuman: Hi\n\nAssistant: Two\n\nlines\n\nHuman: Ho\n\nAssistant: yes"
    item = _convert("text", {"text": text})
    assert item == chat(user("Hi"), assistant("Two\n\nlines"), user("Ho"), assistant("yes"))


@pytest.mark.parametrize(("label", "good"), [
    (True, True), (1, True), ("True", True), ("1", True), ("yes", True),
    (False, False), (0, False), ("false", False), ("0", False), ("no", False),
])  # fmt: skip
def test_verdicts(label: Any, good: bool) -> None:
    item = _convert("kto", {"prompt": "p", "completion": "c", "label": label})
    assert item == Judged(Completion("p", "c"), good)


def test_what_follows_a_judged_answer_is_left_out() -> None:
    item = _convert("kto", {"messages": [ASKED, RIGHT, user("Thanks")], "label": True})
    assert item == Judged(chat(ASKED, RIGHT, prompt_messages=1), good=True)


def test_a_class_keeps_the_name_that_the_data_give_it() -> None:
    assert _convert("text_label", {"text": "t", "label": 0}) == Labelled("t", "0")
    assert _convert("text_label", {"text": "t", "label": True}) == Labelled("t", "True")


def test_a_prompt_keeps_its_tools() -> None:
    item = _convert("prompt_only", {"prompt": "p", "tools": '[{"name": "f"}]', "system": "s"})
    assert item == Prompt((system("s"), user("p")), ({"name": "f"},))


@pytest.mark.parametrize(
    ("format", "value", "kind", "reason"),
    [
        ("messages", {"messages": [ASKED]}, "no-answer",
         "no message is the assistant's: there is nothing to learn"),
        ("messages", {"messages": [ASKED, assistant(" ")]}, "empty-answer", "the answer is empty"),
        ("messages", {"messages": [ASKED, {"role": "narrator", "content": "x"}]}, "unknown-role",
         "message 2 has the unknown role `narrator`; known are system, user, assistant and tool"),
        ("messages", {"messages": 5}, "bad-shape", "`messages` is no list of messages"),
        ("alpaca", {"instruction": "i", "output": None}, "no-answer", "`output` is missing"),
        ("alpaca", {"instruction": None, "output": "o"}, "empty-prompt",
         "`instruction` is missing"),
        ("alpaca", {"instruction": "i", "output": ""}, "empty-answer", "the answer is empty"),
        ("alpaca", {"instruction": "i", "output": 4}, "bad-shape",
         "`output` holds a number, not text"),
        ("preference", {"prompt": "p", "chosen": "c", "rejected": None}, "no-answer",
         "`rejected` is missing"),
        ("preference", {"prompt": "p", "chosen": "c", "rejected": 4}, "bad-shape",
         "`rejected` holds a number, not text"),
        ("preference", {"prompt": 4, "chosen": "c", "rejected": "r"}, "bad-shape",
         "`prompt` holds a number, not text"),
        ("preference", {"prompt": [ASKED], "chosen": [RIGHT], "rejected": [{"role": "x"}]},
         "unknown-role",
         "message 2 has the unknown role `x`; known are system, user, assistant and tool"),
        ("preference", {"chosen": [ASKED, RIGHT], "rejected": [ASKED]}, "no-answer",
         "no message is the assistant's: there is nothing to learn"),
        ("kto", {"prompt": "p", "completion": "c", "label": 2}, "bad-shape",
         "`label` is neither true nor false"),
        ("prompt_only", {"prompt": [ASKED, RIGHT]}, "bad-shape",
         "the last message is the assistant's: there is nothing to answer"),
        ("prompt_only", {"prompt": [user(" ")]}, "empty-prompt", "`prompt` is empty"),
        ("prompt_only", {"instruction": " "}, "empty-prompt", "`instruction` is empty"),
        ("text_label", {"text": "t", "label": 0.5}, "bad-shape",
         "`label` holds a number, not a class"),
        ("text_label", {"text": " ", "label": "x"}, "empty-answer", "`text` is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_kind(
    format: FormatName, value: dict[str, Any], kind: str, reason: str
) -> None:
    assert _convert(format, value) == RowProblem(7, reason, kind)  # type: ignore[arg-type]


_PARTS = st.sampled_from(
    ["messages", "prompt", "completion", "chosen", "rejected", "label", "text", "instruction",
     "input", "output", "system", "tools"]
)  # fmt: skip
_SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["user", "assistant", "[]", "{", '[{"role": "user", "content": "a"}]'])
    | st.sampled_from(["Human: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant:", "true", "no"])
)
_ANY = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
_CALL = st.fixed_dictionaries(
    {}, optional={"function": _ANY, "name": _ANY, "arguments": _ANY | st.just('{"a": 1}')}
)
_TURN = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool", "x", None]) | _ANY,
        "content": _ANY,
        "from": st.sampled_from(["human", "gpt", "function_call", None]),
        "value": _ANY,
        "tool_calls": _ANY | st.lists(_CALL | st.fixed_dictionaries({"function": _CALL})),
        "weight": _ANY,
    },
)
_VALUE = _ANY | _TURN | st.lists(_TURN, max_size=4)


@given(
    st.dictionaries(_PARTS, _VALUE, max_size=6),
    st.sampled_from(get_args(FormatName)),
    st.sets(_PARTS),
)
def test_any_row_under_any_detection_is_an_item_or_a_problem(
    value: dict[str, Any], format: FormatName, parts: set[str]
) -> None:
    item = convert(Row(1, value), Detection(format, "", {part: part for part in parts}))
    if isinstance(item, RowProblem):
        assert item.reason
        return
    assert isinstance(item, get_args(AnyItem))
    if isinstance(item, Pair):
        assert type(item.chosen) is type(item.rejected)
        assert all(_teaches(side) for side in (item.chosen, item.rejected))
    elif isinstance(item, Judged):
        assert _teaches(item.answer)
    elif isinstance(item, Prompt) and not isinstance(item.messages, str):
        assert item.messages[-1]["role"] != "assistant"
    elif isinstance(item, Conversation | Completion):
        assert _teaches(item)


def _teaches(item: Conversation | Completion) -> bool:
    if isinstance(item, Completion):
        return bool(item.completion.strip())
    return bool(item.learned_answers) and all(type(m["content"]) is str for m in item.messages)
