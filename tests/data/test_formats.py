from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data import (
    Completion,
    Conversation,
    DataError,
    Document,
    Row,
    RowProblem,
    convert,
    detect,
    objective_refusal,
    read_rows,
)
from tui_ft.data.items import Judged, Labelled, Pair, Prompt

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _rows(*values: Mapping[str, Any]) -> list[Row]:
    return [Row(line, dict(value)) for line, value in enumerate(values, start=1)]


def _item(value: Mapping[str, Any], **how: Any) -> Any:
    rows = _rows(value)
    return convert(rows[0], detect(rows, **how))


def _problem(value: Mapping[str, Any], **how: Any) -> str:
    problem = _item(value, **how)
    assert isinstance(problem, RowProblem)
    assert problem.line == 1
    return problem.reason


def _turns(item: Any) -> list[tuple[str, str]]:
    assert isinstance(item, Conversation), item
    return [(message["role"], message["content"]) for message in item.messages]


def _error(*values: Mapping[str, Any], **how: Any) -> str:
    with pytest.raises(DataError) as raised:
        detect(_rows(*values), **how)
    return str(raised.value)


# fmt: off
_NAMES = st.sampled_from([
    "messages", "conversations", "prompt", "completion", "instruction", "input", "output", "text",
    "system", "tools", "role", "content", "chosen", "rejected", "label",
])
# fmt: on
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "yes"}]


@pytest.mark.parametrize(
    ("value", "format", "columns"),
    [
        ({"messages": CHAT}, "messages", {"messages": "messages"}),
        ({"conversations": CHAT, "id": "1"}, "messages", {"messages": "conversations"}),
        (
            {"instruction": "i", "output": "o"},
            "alpaca",
            {"instruction": "instruction", "output": "output"},
        ),
        (
            {"instruction": "i", "input": "", "output": "o"},
            "alpaca",
            {"instruction": "instruction", "input": "input", "output": "output"},
        ),
        (
            {"question": "q", "answer": "a"},
            "alpaca",
            {"instruction": "question", "output": "answer"},
        ),
        (
            {"instruction": "i", "response": "r"},
            "alpaca",
            {"instruction": "instruction", "output": "response"},
        ),
        (
            {"prompt": "p", "completion": "c"},
            "prompt_completion",
            {"prompt": "prompt", "completion": "completion"},
        ),
        ({"text": "t"}, "text", {"text": "text"}),
    ],
)
def test_formats_are_known_by_their_columns(
    value: dict[str, Any], format: str, columns: dict[str, str]
) -> None:
    found = detect(_rows(value))
    assert (found.format, dict(found.columns), found.confidence) == (format, columns, 1.0)


@pytest.mark.parametrize(
    ("value", "format", "also"),
    [
        ({"messages": CHAT, "text": "<|im_start|>user"}, "messages", "text would fit as well"),
        ({"prompt": "Hi", "messages": CHAT}, "messages", ""),
        (
            {"messages": CHAT, "prompt": "p", "completion": "c"},
            "messages",
            "prompt_completion would",
        ),
        ({"instruction": "i", "output": "o", "text": "t"}, "alpaca", "text would fit as well"),
        (
            {"instruction": "i", "prompt": "p", "output": "o"},
            "alpaca",
            "prompt_completion would fit",
        ),
        ({"prompt": "p", "completion": "c", "text": "t"}, "prompt_completion", "text would fit"),
        ({"messages": None, "text": "t"}, "text", ""),
        ({"messages": [], "conversations": CHAT}, "messages", ""),
        ({"chat": "a word", "text": "t"}, "text", ""),
    ],
)
def test_what_says_most_of_a_row_wins(value: dict[str, Any], format: str, also: str) -> None:
    found = detect(_rows(value))
    assert found.format == format
    assert also in found.reason
    assert ("would fit" in found.reason) is bool(also)


def test_the_share_of_rows_is_the_confidence() -> None:
    found = detect(_rows({"text": "a"}, {"text": "b"}, {"text": 5}, {"other": "c"}, {"text": "d"}))
    assert (found.format, found.confidence) == ("text", 0.6)
    assert found.reason == "60 % of rows have `text`"


def test_an_optional_column_of_few_rows_is_used() -> None:
    rows = _rows(*[{"instruction": "i", "output": "o"}] * 9)
    rows.append(Row(10, {"instruction": "i", "input": "x", "output": "o"}))
    assert detect(rows).columns["input"] == "input"


def test_columns_of_a_person_win() -> None:
    value = {"question": "q", "answer": "a", "instruction": "i", "output": "o"}
    columns = {"prompt": "question", "completion": "answer"}
    assert _item(value, columns=columns) == Completion("q", "a")
    assert detect(_rows(value), columns=columns).reason.startswith("as data.columns says")
    assert _turns(_item(value, columns={"instruction": "question", "output": "answer"})) == [
        ("user", "q"),
        ("assistant", "a"),
    ]
    assert _item(value, columns={"text": "answer"}) == Document("a")


def test_a_format_of_a_person_wins() -> None:
    value = {"messages": CHAT, "text": "t"}
    assert _item(value, format="text") == Document("t")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "of no known format: their columns are a, b. known are: preference (chosen, rejected"),
        ({"format": "alpaca"}, "of no known alpaca format"),
        (
            {"columns": {"prompt": "c"}},
            "data.columns.prompt: no row has a column `c`; they have: a, b",
        ),
        ({"columns": {"promt": "a"}}, "no format has the parts promt of data.columns"),
        (
            {"format": "text", "columns": {"prompt": "a"}},
            "the format text does not have the parts prompt of data.columns",
        ),
    ],
)
def test_unknown_formats(how: dict[str, Any], said: str) -> None:
    assert said in _error({"a": "1", "b": "2"}, **how)


def test_sft_refuses_preferences_with_a_way_out() -> None:
    pair = {"prompt": "p", "chosen": "c", "rejected": "r"}
    said = objective_refusal("sft", detect(_rows(pair)), _rows(pair)) or ""
    assert "hold preferences" in said
    assert "{prompt: prompt, completion: chosen}" in said
    assert _item(pair, columns={"prompt": "prompt", "completion": "chosen"}) == Completion("p", "c")
    assert (
        objective_refusal("sft", detect(_rows({"messages": CHAT})), _rows({"messages": CHAT}))
        is None
    )


def test_messages_are_kept_as_they_are() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    messages = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi", "name": "anna"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "1"},
        {"role": "assistant", "content": "yes", "reasoning_content": "hmm"},
    ]
    item = _item({"messages": messages, "tools": [{"name": "f"}]})
    assert isinstance(item, Conversation)
    assert item.messages[1] == messages[1]
    assert item.messages[2] == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert item.messages[4]["reasoning_content"] == "hmm"
    assert item.tools == ({"name": "f"},)


def test_sharegpt() -> None:
    value = {
        "system": "Be brief",
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
            {"from": "observation", "value": "1"},
            {"from": "gpt", "value": "yes"},
        ],
        "tools": '[{"name": "f"}]',
    }
    item = _item(value)
    assert _turns(item) == [
        ("system", "Be brief"),
        ("user", "Hi"),
        ("assistant", ""),
        ("tool", "1"),
        ("assistant", "yes"),
    ]
    assert item.messages[2]["tool_calls"] == [
        {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    ]
    assert item.tools == ({"name": "f"},)


def test_messages_written_as_json_in_a_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('messages\n"[{""role"": ""user"", ""content"": ""Hi""}, '
                    '{""role"": ""assistant"", ""content"": ""yes""}]"\n')  # fmt: skip
    rows = [row for row in read_rows(file) if isinstance(row, Row)]
    assert _turns(convert(rows[0], detect(rows))) == [("user", "Hi"), ("assistant", "yes")]


def test_content_in_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    value = {"messages": [CHAT[0], {"role": "assistant", "content": parts}]}
    assert _turns(_item(value))[1] == ("assistant", "ab")
    seen = [{"type": "image_url", "image_url": {}}]
    value = {"messages": [{"role": "user", "content": seen}, CHAT[1]]}
    assert _problem(value) == "message 1 holds more than text, which is not supported"


def test_alpaca() -> None:
    value = {"instruction": "Add", "input": "1, 2", "output": "3", "system": "Be brief"}
    assert _turns(_item(value)) == [
        ("system", "Be brief"),
        ("user", "Add\n\n1, 2"),
        ("assistant", "3"),
    ]
    for empty in ("", "  ", None):
        assert _turns(_item({**value, "input": empty, "system": empty})) == [
            ("user", "Add"),
            ("assistant", "3"),
        ]


def test_prompt_and_completion_in_messages() -> None:
    before = [*CHAT, {"role": "user", "content": "More"}]
    item = _item({"prompt": before, "completion": [{"role": "assistant", "content": "no"}]})
    assert _turns(item)[-1] == ("assistant", "no")
    assert item.prompt_messages == 3
    assert item.learned_answers == (3,)
    for completion in ("no", {"role": "assistant", "content": "no"}):
        assert _item({"prompt": before, "completion": completion}) == item
    assert _turns(_item({"prompt": "Hi", "completion": CHAT[1:]})) == [
        ("user", "Hi"),
        ("assistant", "yes"),
    ]


def test_a_system_message_makes_a_conversation_of_strings() -> None:
    item = _item({"system": "Be brief", "prompt": "Hi", "completion": "yes"})
    assert _turns(item) == [("system", "Be brief"), ("user", "Hi"), ("assistant", "yes")]
    assert item.learned_answers == (2,)


def test_plain_strings_are_left_alone() -> None:
    assert _item({"prompt": "Q: ", "completion": " A"}) == Completion("Q: ", " A")
    assert _item({"text": " a "}) == Document(" a ")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"messages": [CHAT[0], {"role": "assistant", "content": " "}]}, "the answer is empty"),
        (
            {"messages": [*CHAT, CHAT[0], {"role": "assistant", "content": ""}]},
            "the answer in message 4 is empty",
        ),
        ({"messages": [CHAT[0], {"role": "asistant", "content": "x"}]},
         "message 2 has the unknown role `asistant`; known are system, user, assistant and tool"),
        ({"messages": [CHAT[0], {"content": "x"}]},
         "message 2 has the unknown role `None`; known are system, user, assistant and tool"),
        ({"messages": [CHAT[0], {"role": "assistant"}]}, "message 2 (assistant) has no content"),
        (
            {"messages": [{"role": "user", "content": 5}, CHAT[1]]},
            "message 1 (user) holds a number, not text",
        ),
        ({"messages": ["Hi", "yes"]}, "message 1 is a text, not an object"),
        ({"conversations": [{"from": "function_call", "value": "add"}]},
         'message 1 (function_call) is not JSON like {"name": …, "arguments": …}'),
        ({"messages": CHAT, "tools": '{"a": 1}'}, "`tools` is no list of tools"),
        ({"instruction": "i", "output": ""}, "the answer is empty"),
        ({"prompt": "p", "completion": " \n"}, "the answer is empty"),
        ({"text": "  "}, "`text` is empty"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_learned_from(value: dict[str, Any], said: str) -> None:
    how = {"columns": {"messages": "messages", "tools": "tools"}} if "tools" in value else {}
    assert _problem(value, **how) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"instruction": "i"}, "`output` is missing"),
        ({"instruction": "i", "output": None}, "`output` is missing"),
        ({"instruction": "i", "output": 42}, "`output` holds a number, not text"),
        ({"instruction": "i", "output": "o", "input": ["x"]}, "`input` holds a list, not text"),
        ({"instruction": True, "output": "o"}, "`instruction` holds true or false, not text"),
    ],
)
def test_a_row_unlike_the_others(value: dict[str, Any], said: str) -> None:
    good = {"instruction": "i", "input": "", "output": "o"}
    rows = _rows(good, good, value)
    problem = convert(rows[2], detect(rows))
    assert isinstance(problem, RowProblem)
    assert str(problem) == f"line 3: {said}"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the example data are not here")
@pytest.mark.parametrize(
    ("name", "rows", "format"),
    [
        ("alpaca_en_demo.json", 999, "alpaca"),
        ("gsm8k_train.jsonl", 7473, "alpaca"),
        ("gsm8k_test.jsonl", 1319, "alpaca"),
    ],
)
def test_example_data(name: str, rows: int, format: str) -> None:
    found = list(read_rows(SHARED / name))
    good = [row for row in found if isinstance(row, Row)]
    assert len(good) == len(found) == rows
    detection = detect(good)
    assert detection.format == format
    problems = [item for row in good if isinstance(item := convert(row, detection), RowProblem)]
    assert problems == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the example data are not here")
def test_example_preferences() -> None:
    rows = [row for row in read_rows(SHARED / "dpo_zh_demo.json") if isinstance(row, Row)]
    detection = detect(rows)
    assert (detection.format, detection.columns["prompt"]) == ("preference", "conversations")
    assert all(isinstance(convert(row, detection), Pair) for row in rows)
    detection = detect(rows, columns={"prompt": "conversations", "completion": "chosen"})
    item = convert(rows[0], detection)
    assert isinstance(item, Conversation)
    assert [role for role, _ in _turns(item)] == ["user", "assistant"]


@pytest.mark.parametrize("answer", ['{"cmd": "on"}', "[1, 2]", "[]", '["a"]', '{"role": "admin"}'])
def test_an_answer_that_is_json_is_a_text(answer: str) -> None:
    """Many learn to answer in JSON: only a list of turns written as text is a conversation."""
    assert _item({"prompt": "Hi", "completion": answer}) == Completion("Hi", answer)
    assert _item({"prompt": answer, "completion": "yes"}) == Completion(answer, "yes")
    told = _item({"system": "Be brief", "prompt": "Hi", "completion": answer})
    assert _turns(told)[-1] == ("assistant", answer)


def test_prompt_and_completion_as_messages_in_a_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('prompt,completion\n"[{""role"": ""user"", ""content"": ""Hi""}]",'
                    '"[{""role"": ""assistant"", ""content"": ""yes""}]"\n')  # fmt: skip
    rows = [row for row in read_rows(file) if isinstance(row, Row)]
    item = convert(rows[0], detect(rows))
    assert _turns(item) == [("user", "Hi"), ("assistant", "yes")]
    assert isinstance(item, Conversation)
    assert item.prompt_messages == 1


def test_messages_of_both_shapes_with_nulls_where_the_other_speaks() -> None:
    turns = [
        {"role": None, "content": None, "from": "human", "value": "Hi"},
        {"role": "assistant", "content": "yes", "from": None, "value": None},
    ]
    assert _turns(_item({"messages": turns})) == [("user", "Hi"), ("assistant", "yes")]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_an_answer_that_only_thinks_is_not_empty(name: str) -> None:
    item = _item({"messages": [CHAT[0], {"role": "assistant", "content": "", name: "hmm"}]})
    assert isinstance(item, Conversation)


def test_tool_calls_written_as_json() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    turn = {"role": "assistant", "content": "", "tool_calls": json.dumps([call])}
    item = _item({"messages": [CHAT[0], turn]})
    assert isinstance(item, Conversation)
    assert item.messages[1]["tool_calls"] == [call]


@pytest.mark.parametrize("calls", [5, True, "add", {"name": "f"}, [None], ["add"]])
def test_tool_calls_that_are_none(calls: Any) -> None:
    turn = {"role": "assistant", "content": "yes", "tool_calls": calls}
    said = _problem({"messages": [CHAT[0], turn]})
    assert said == "message 2 has tool_calls that are no list of calls"


def test_column_names_do_no_harm_and_do_not_fill_the_screen() -> None:
    said = _error({"\x1b[31mred\n" + "x" * 100: "a", **{f"y{n:04}": 1 for n in range(1_500)}})
    assert "\x1b" not in said
    assert "\n" not in said
    assert "y0009, y0010 and 1,489 more. known are" in said
    assert "\x1b" not in detect(_rows({"\x1b[31mred": "a"}), columns={"text": "\x1b[31mred"}).reason
    assert "\x1b" not in _problem({"\x1b[31mred": " "}, columns={"text": "\x1b[31mred"})


_ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["user", "[]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": _ANY_JSON},
    optional={"tool_calls": _ANY_JSON, "weight": _ANY_JSON, "from": _ANY_JSON, "value": _ANY_JSON},
)


@given(st.dictionaries(_NAMES, _ANY_JSON | st.lists(_TURN, max_size=4), max_size=4))
def test_no_row_whatever_it_holds_is_more_than_a_problem(value: dict[str, Any]) -> None:
    rows = _rows(value)
    try:
        found = detect(rows)
    except DataError:
        return
    item = convert(rows[0], found)
    kinds = (Conversation, Completion, Document, Pair, Judged, Prompt, Labelled, RowProblem)
    assert isinstance(item, kinds)
    if isinstance(item, Conversation):
        assert item.learned_answers
        assert all(isinstance(message["content"], str) for message in item.messages)
