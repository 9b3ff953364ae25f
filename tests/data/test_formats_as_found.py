"""The layouts in which people publish data sets, each recognised and converted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.data.chats import assistant, chat, system, user
from tui_ft.data import Completion, Conversation, Row, RowProblem, convert, detect
from tui_ft.data.items import Judged, Labelled, Pair, Prompt


def _rows(*values: Mapping[str, Any]) -> list[Row]:
    return [Row(line, dict(value)) for line, value in enumerate(values, start=1)]


_ASKED = {"role": "user", "content": "Capital of France?"}
_RIGHT, _WRONG = (
    {"role": "assistant", "content": "Paris"},
    {"role": "assistant", "content": "Lyon"},
)
_CHOSEN = Conversation((_ASKED, _RIGHT), prompt_messages=1)
_REJECTED = Conversation((_ASKED, _WRONG), prompt_messages=1)
_HH = "\n\nHuman: Capital of France?\n\nAssistant: {}"


@pytest.mark.parametrize(
    ("value", "style", "item"),
    [
        (
            {"prompt": "2+2=", "chosen": "4", "rejected": "5"},
            "preference pairs, explicit prompt",
            Pair(Completion("2+2=", "4"), Completion("2+2=", "5")),
        ),
        (
            {"chosen": "The sky is blue", "rejected": "The sky is bland"},
            "preference pairs, implicit prompt",
            Pair(Completion("The sky is ", "blue"), Completion("The sky is ", "bland")),
        ),
        (
            {"chosen": [_ASKED, _RIGHT], "rejected": [_ASKED, _WRONG]},
            "preference pairs, implicit prompt, conversational",
            Pair(_CHOSEN, _REJECTED),
        ),
        (
            {"prompt": [_ASKED], "chosen": [_RIGHT], "rejected": [_WRONG]},
            "preference pairs, explicit prompt, conversational",
            Pair(_CHOSEN, _REJECTED),
        ),
        (  # UltraFeedback: the prompt stands beside dialogues that begin with it
            {
                "prompt": "Capital of France?",
                "chosen": [_ASKED, _RIGHT],
                "rejected": [_ASKED, _WRONG],
            },
            "preference pairs, explicit prompt, conversational",
            Pair(_CHOSEN, _REJECTED),
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Capital of France?"}],
                "chosen": {"from": "gpt", "value": "Paris"},
                "rejected": {"from": "gpt", "value": "Lyon"},
            },
            "preference pairs, explicit prompt, ShareGPT",
            Pair(_CHOSEN, _REJECTED),
        ),
        (  # StackExchange pairs
            {"question": "Capital of France?", "response_j": "Paris", "response_k": "Lyon"},
            "preference pairs, explicit prompt",
            Pair(_CHOSEN, _REJECTED),
        ),
        (  # LLaMA-Factory's Alpaca style: the input belongs to the question
            {
                "instruction": "Capital?",
                "input": "France",
                "chosen": "Paris",
                "rejected": "Lyon",
                "system": "Be brief",
            },
            "preference pairs, explicit prompt",
            Pair(
                chat(
                    system("Be brief"),
                    user("Capital?\n\nFrance"),
                    assistant("Paris"),
                    prompt_messages=2,
                ),
                chat(
                    system("Be brief"),
                    user("Capital?\n\nFrance"),
                    assistant("Lyon"),
                    prompt_messages=2,
                ),
            ),
        ),
        (
            {"prompt": "2+2=", "accepted": "4", "rejected": "5"},
            "preference pairs, explicit prompt",
            Pair(Completion("2+2=", "4"), Completion("2+2=", "5")),
        ),
        (  # the prompt holds only the system message
            {
                "prompt": [system("Be brief")],
                "chosen": [_ASKED, _RIGHT],
                "rejected": [_ASKED, _WRONG],
            },
            "preference pairs, explicit prompt, conversational",
            Pair(
                chat(system("Be brief"), _ASKED, _RIGHT, prompt_messages=2),
                chat(system("Be brief"), _ASKED, _WRONG, prompt_messages=2),
            ),
        ),
        (  # the answer is a call, its result and what is said of it: no dialogue of its own
            {
                "prompt": [_ASKED],
                "chosen": [assistant("Let me see"), {"role": "user", "content": "Do"}, _RIGHT],
                "rejected": [_WRONG],
            },
            "preference pairs, explicit prompt, conversational",
            Pair(
                chat(_ASKED, assistant("Let me see"), user("Do"), _RIGHT, prompt_messages=1),
                _REJECTED,
            ),
        ),
        (  # HH-RLHF with the prompt cut off, as Dahoas/full-hh-rlhf has it
            {
                "prompt": "\n\nHuman: Capital of France?\n\nAssistant:",
                "chosen": "Paris",
                "rejected": "Lyon",
            },
            "preference pairs, explicit prompt",
            Pair(_CHOSEN, _REJECTED),
        ),
        (
            {"chosen": _HH.format("Paris"), "rejected": _HH.format("Lyon")},
            "preference pairs, HH-RLHF dialogues",
            Pair(_CHOSEN, _REJECTED),
        ),
        ({"text": _HH.format("Paris")}, "HH-RLHF dialogues", Conversation((_ASKED, _RIGHT))),
        (
            {"prompt": "2+2=", "completion": "5", "label": False},
            "answers judged good or bad (KTO)",
            Judged(Completion("2+2=", "5"), good=False),
        ),
        (  # trl-lib/kto-mix-14k
            {"prompt": [_ASKED], "completion": [_RIGHT], "label": True},
            "answers judged good or bad (KTO)",
            Judged(_CHOSEN, good=True),
        ),
        (  # LLaMA-Factory: the verdict is on the last answer
            {"messages": [_ASKED, _RIGHT, user("Sure?"), assistant("Yes")], "label": "false"},
            "answers judged good or bad (KTO)",
            Judged(
                chat(_ASKED, _RIGHT, user("Sure?"), assistant("Yes"), prompt_messages=3), good=False
            ),
        ),
        (
            {"instruction": "Add", "input": "1, 2", "output": "3", "kto_tag": 1},
            "answers judged good or bad (KTO)",
            Judged(chat(user("Add\n\n1, 2"), assistant("3")), good=True),
        ),
        ({"prompt": "2+2="}, "prompts only", Prompt("2+2=")),
        ({"prompt": [_ASKED]}, "prompts only", Prompt((_ASKED,))),
        ({"question": "2+2?", "id": 7}, "prompts only", Prompt((user("2+2?"),))),
        (
            {"messages": [_ASKED, _RIGHT, user("Sure?")]},
            "prompts only",
            Prompt((_ASKED, _RIGHT, user("Sure?"))),
        ),
        (
            {"conversations": [{"from": "human", "value": "Hi"}], "system": "Be brief"},
            "prompts only",
            Prompt((system("Be brief"), user("Hi"))),
        ),
        ({"text": "Great film", "label": 1}, "text and label", Labelled("Great film", "1")),
        ({"sentence": "Bad", "label": "0", "idx": "4"}, "text and label", Labelled("Bad", "0")),
        ({"content": "Goal!", "category": "sport"}, "text and label", Labelled("Goal!", "sport")),
        ({"review": "Bad", "sentiment": "neg"}, "text and label", Labelled("Bad", "neg")),
        (
            {"instruction": "Add", "response": "4"},
            "instruction and response",
            Conversation((user("Add"), assistant("4"))),
        ),
        (
            {"question": "2+2?", "answer": "4"},
            "question and answer",
            Conversation((user("2+2?"), assistant("4"))),
        ),
        (
            {"messages": [user("Hi"), assistant("Yes")], "tools": [{"name": "f"}]},
            "messages with tools",
            Conversation((user("Hi"), assistant("Yes")), ({"name": "f"},)),
        ),
        (
            {
                "system": "Be brief",
                "tools": '[{"name": "f"}]',
                "conversations": [
                    {"from": "human", "value": "Hi"},
                    {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
                    {"from": "observation", "value": "2"},
                    {"from": "gpt", "value": "Yes"},
                ],
            },
            "ShareGPT with tools",
            Conversation(
                (
                    system("Be brief"),
                    user("Hi"),
                    assistant(
                        "",
                        tool_calls=[
                            {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
                        ],
                    ),
                    {"role": "tool", "content": "2"},
                    assistant("Yes"),
                ),
                ({"name": "f"},),
            ),
        ),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]},
            "ShareGPT",
            Conversation((user("Hi"), assistant("Yes"))),
        ),
    ],
)
def test_rows_as_they_are_found(value: dict[str, Any], style: str, item: object) -> None:
    rows = _rows(*[value] * 4)
    detection = detect(rows)
    assert detection.style == style
    assert convert(rows[0], detection) == item


@pytest.mark.parametrize(
    ("value", "said", "kind"),
    [
        ({"prompt": "p", "chosen": " ", "rejected": "r"}, "answer is empty", "empty-answer"),
        ({"prompt": "p", "completion": "c", "label": "maybe"}, "neither true nor", "bad-shape"),
        ({"prompt": " "}, "`prompt` is empty", "empty-prompt"),
        ({"text": "t", "label": None}, "`label` is missing", "bad-shape"),
    ],
)
def test_what_is_wrong_with_a_row_has_a_kind(value: dict[str, Any], said: str, kind: str) -> None:
    whole = {"prompt": "p", "completion": "c", "chosen": "a", "rejected": "b", "text": "t"}
    good = {name: True if name == "label" else whole[name] for name in value}
    problem = convert(Row(1, value), detect(_rows(*[good] * 4)))
    assert isinstance(problem, RowProblem)
    assert said in problem.reason
    assert problem.kind == kind


def test_a_column_of_many_numbers_is_no_class() -> None:
    rows = _rows(*({"text": f"t{n}", "label": n} for n in range(20)))
    assert detect(rows).format == "text"
    classes = _rows(*({"text": f"t{n}", "label": n % 3} for n in range(20)))
    assert detect(classes).format == "text_label"
