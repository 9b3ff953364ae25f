"""Which format wins where several would fit, and how a person gets another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.data.chats import assistant, user
from tui_ft.data import (
    Conversation,
    FormatName,
    Row,
    RowProblem,
    convert,
    detect,
    objective_refusal,
    objectives_of,
    read_rows,
)
from tui_ft.spec.run_spec import DataSpec

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CHAT = [user("Hi"), assistant("yes")]
HH = "\n\nHuman: Hi\n\nAssistant: {}"


def _rows(*values: Mapping[str, Any]) -> list[Row]:
    return [Row(line, dict(value)) for line, value in enumerate(values, start=1)]


def test_every_format_has_objectives_and_can_be_written_in_a_run() -> None:
    names = get_args(FormatName)
    assert all(objectives_of(name) for name in names)
    accepted = get_args(DataSpec.model_fields["format"].annotation)
    assert set(accepted) == {"auto", *names}
    assert objectives_of("preference")[0] == "dpo"
    assert objectives_of("nonsense") == ()


@pytest.mark.parametrize(
    ("values", "format", "others"),
    [
        ([{"prompt": "p", "completion": "c", "label": True}], "kto", ("prompt_completion",)),
        ([{"messages": CHAT, "label": False}], "kto", ("messages",)),
        ([{"text": "t", "label": 0}, {"text": "u", "label": 1}], "text_label", ("text",)),
        ([{"prompt": "p", "text": "t"}], "text", ()),
        ([{"prompt": "p", "chosen": "c", "rejected": "r"}], "preference", ()),
        ([{"prompt": "p", "chosen": "c", "rejected": "r", "text": "t"}], "preference", ("text",)),
        ([{"messages": [user("Hi")]}] * 3 + [{"messages": CHAT}], "prompt_only", ("messages",)),
        ([{"messages": [user("Hi")]}] + [{"messages": CHAT}] * 3, "messages", ()),
        # A verdict says good or bad: a grade, a similarity or a class of many does not.
        ([{"prompt": "p", "completion": "c", "label": n} for n in range(9)],
         "prompt_completion", ()),
        ([{"prompt": "p", "completion": "c", "label": "sport"}], "prompt_completion", ()),
        # A number beside a text is no class by its type alone.
        ([{"text": f"t{n % 3}", "length": n % 3} for n in range(9)], "text", ()),
        ([{"text": "t", "label": 0.25}, {"text": "t", "label": 0.5}], "text", ()),
        ([{"text": "t", "label": "a whole sentence on why this is so, and more of it, at length"}],
         "text", ()),
        ([{"text": "t", "label": [1, 2]}], "text", ()),
    ],
)  # fmt: skip
def test_which_format_wins(
    values: list[dict[str, Any]], format: str, others: tuple[str, ...]
) -> None:
    found = detect(_rows(*values))
    assert (found.format, found.others) == (format, others)


def test_a_label_is_told_with_its_number_of_values() -> None:
    rows = _rows(*({"text": "t", "label": n % 3} for n in range(9)))
    assert "100 % of rows have `text`, `label`, a label of 3 values" in detect(rows).reason


def test_a_few_verdicts_that_are_none_leave_a_format_as_it_is() -> None:
    good = {"prompt": "p", "completion": "c", "label": True}
    rows = _rows(*[good] * 39, {**good, "label": "maybe"})
    found = detect(rows)
    assert (found.format, found.confidence) == ("kto", 39 / 40)
    assert isinstance(convert(rows[-1], found), RowProblem)


def test_dialogues_that_end_with_the_user_say_so() -> None:
    rows = _rows({"messages": [user("Hi")]}, {"messages": [user("Ho")]}, {"messages": CHAT})
    found = detect(rows)
    assert found.reason.startswith("67 % of rows have `messages`, ending with the user")
    assert found.confidence == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("value", "columns", "format"),
    [
        ({"prompt": "p", "completion": "c", "label": True},
         {"prompt": "prompt", "completion": "completion"}, "prompt_completion"),
        ({"text": "t", "label": 1}, {"text": "text"}, "text"),
        ({"messages": [user("Hi")]}, {"messages": "messages"}, "messages"),
        ({"q": "p", "completion": "c"}, {"prompt": "q"}, "prompt_completion"),
        ({"q": "p"}, {"prompt": "q"}, "prompt_only"),
        ({"a": "p", "b": "c", "c": "d"},
         {"prompt": "a", "chosen": "b", "rejected": "c"}, "preference"),
        ({"a": "p", "b": "c", "c": "d"},
         {"instruction": "a", "chosen": "b", "rejected": "c"}, "preference"),
        ({"a": "p", "b": "c", "c": "d"}, {"chosen": "b", "rejected": "c"}, "preference"),
        ({"a": "p", "b": "c", "c": 1}, {"prompt": "a", "completion": "b", "label": "c"}, "kto"),
        ({"a": CHAT, "c": 1}, {"messages": "a", "label": "c"}, "kto"),
        ({"a": "t", "b": "x"}, {"text": "a", "label": "b"}, "text_label"),
    ],
)  # fmt: skip
def test_what_a_person_maps_is_what_is_read(
    value: dict[str, Any], columns: dict[str, str], format: str
) -> None:
    rows = _rows(*[value] * 4)
    found = detect(rows, columns=columns)
    assert found.format == format
    assert columns.items() <= found.columns.items()


@pytest.mark.parametrize("format", get_args(FormatName))
def test_a_format_of_a_person_is_the_only_one_tried(format: FormatName) -> None:
    everything = {
        "messages": [user("Hi")], "prompt": "p", "completion": "c", "instruction": "i",
        "output": "o", "chosen": "c", "rejected": "r", "text": "t", "label": True,
    }  # fmt: skip
    found = detect(_rows(*[everything] * 4), format=format)
    assert (found.format, found.others) == (format, ())


@pytest.mark.parametrize(
    ("value", "said", "way"),
    [
        ({"prompt": "p", "chosen": "c", "rejected": "r"},
         "preferences (`chosen` and `rejected`)", {"prompt": "prompt", "completion": "chosen"}),
        ({"question": "q", "response_j": "c", "response_k": "r"},
         "(`response_j` and `response_k`)", {"instruction": "question", "output": "response_j"}),
        ({"chosen": CHAT, "rejected": CHAT}, "preferences", {"messages": "chosen"}),
        # The dialogues begin with the prompt: mapped beside them it would be there twice.
        ({"prompt": "Hi", "chosen": CHAT, "rejected": CHAT}, "preferences",
         {"messages": "chosen"}),
        ({"prompt": [CHAT[0]], "chosen": [CHAT[1]], "rejected": [CHAT[1]]}, "preferences",
         {"prompt": "prompt", "completion": "chosen"}),
        ({"chosen": HH.format("yes"), "rejected": HH.format("no")}, "preferences",
         {"text": "chosen"}),
        ({"chosen": "a b", "rejected": "a c"}, "preferences", {"text": "chosen"}),
        ({"prompt": "p", "completion": "c", "label": True}, "keep the rows whose `label` is true",
         {"prompt": "prompt", "completion": "completion"}),
        ({"messages": CHAT, "label": True}, "keep the rows whose `label` is true",
         {"messages": "messages"}),
        ({"text": "t", "label": "sport"}, "To learn to answer with the class",
         {"prompt": "text", "completion": "label"}),
        ({"text": "t", "label": 1}, "write `label` as a word first", {"text": "text"}),
        ({"messages": [*CHAT, user("Ho")]}, "end with the user", {"messages": "messages"}),
    ],
)  # fmt: skip
def test_what_sft_refuses_it_takes_when_mapped_as_it_says(
    value: dict[str, Any], said: str, way: dict[str, str]
) -> None:
    rows = _rows(*[value] * 4)
    refused = objective_refusal("sft", detect(rows), rows) or ""
    assert said in refused
    written = "{" + ", ".join(f"{part}: {column}" for part, column in way.items()) + "}"
    assert f"data.columns to {written}" in refused
    mapped = detect(rows, columns=way)
    assert objective_refusal("sft", mapped, rows) is None
    item = convert(rows[0], mapped)
    assert not isinstance(item, RowProblem)
    if isinstance(item, Conversation):
        assert [message["role"] for message in item.messages][:2] == ["user", "assistant"]


def test_sft_says_of_prompts_that_their_answers_are_missing() -> None:
    rows = _rows({"question": "q"})
    assert "prompts without answers" in (objective_refusal("sft", detect(rows), rows) or "")


def test_foreign_names_of_columns_do_no_harm() -> None:
    name = "\x1b[31mred"
    rows = _rows({name: "p", "b": "c", "c": "d"})
    columns = {"prompt": name, "chosen": "b", "rejected": "c"}
    found = detect(rows, columns=columns)
    assert "\x1b" not in (objective_refusal("sft", found, rows) or "") + found.reason + found.style


@pytest.mark.skipif(not SHARED.is_dir(), reason="the example data are not here")
@pytest.mark.parametrize(
    ("name", "format", "style"),
    [
        ("alpaca_en_demo.json", "alpaca", "Alpaca"),
        ("dpo_zh_demo.json", "preference", "preference pairs, explicit prompt, ShareGPT"),
        ("gsm8k_train.jsonl", "alpaca", "question and answer"),
        ("gsm8k_test.jsonl", "alpaca", "question and answer"),
    ],
)
def test_example_data_have_the_style_that_people_know(name: str, format: str, style: str) -> None:
    rows = [row for row in read_rows(SHARED / name) if isinstance(row, Row)]
    found = detect(rows)
    assert (found.format, found.style, found.confidence) == (format, style, 1.0)
    assert not [item for row in rows if isinstance(item := convert(row, found), RowProblem)]
