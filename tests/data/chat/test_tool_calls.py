"""Arguments of tool calls: one shape in rows, and what each template can use when rendered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.data.chats import assistant, user
from tests.data.small_tokenizer import read_template
from tui_ft.data import Conversation, Detection, Message, Row, convert
from tui_ft.data.chat.template import compile_template, render_template

ARGUMENTS = {"city": "Köln", "days": 2, "flag": True, "none": None}
CALL = "{%- for call in message.tool_calls or [] %}<call>{{ ''BODY'' }}</call>{%- endfor %}"
LOOP = "{%- for message in messages %}{{ message.content }}" + CALL + "{%- endfor %}"

TO_JSON = "call.function.arguments | tojson"
CONCATENATED = "'```json\\n' + call['function']['arguments'] + '```'"  # DeepSeek V3 and R1
PRINTED = "call.function.arguments"
JOINED = "'a' ~ call.function.arguments"
EITHER = (
    "call.function.arguments if call.function.arguments is string "
    "else call.function.arguments | tojson"
)  # Qwen3
STRIPPED = "call.function.arguments.strip()"


def _call(arguments: object) -> dict[str, Any]:
    return {"type": "function", "id": "c1", "function": {"name": "f", "arguments": arguments}}


def _item(arguments: object) -> Conversation:
    messages = [user("Weather?"), assistant("", tool_calls=[_call(arguments)])]
    item = convert(
        Row(1, {"messages": messages}), Detection("messages", "", {"messages": "messages"})
    )
    assert isinstance(item, Conversation)
    return item


def _rendered(body: str, *messages: Message) -> str:
    template = compile_template(LOOP.replace("''BODY''", body))
    return render_template(
        template, messages, add_generation_prompt=False, tools=None, special_tokens={}
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (json.dumps(ARGUMENTS), ARGUMENTS),
        (ARGUMENTS, ARGUMENTS),
        ("{}", {}),
        (" {\n}", {}),
        ("", ""),
        ("Köln", "Köln"),
        ('{"city": ', '{"city": '),
        ("[1, 2]", "[1, 2]"),
        (None, None),
    ],
)
def test_arguments_written_as_json_become_an_object(written: object, read: object) -> None:
    assert _item(written).messages[1]["tool_calls"] == [_call(read)]


def test_arguments_of_sharegpt_calls_become_an_object() -> None:
    said = json.dumps({"name": "f", "arguments": json.dumps(ARGUMENTS)})
    turns = [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": said}]
    item = convert(Row(1, {"c": turns}), Detection("messages", "", {"messages": "c"}))
    assert isinstance(item, Conversation)
    assert item.messages[1]["tool_calls"][0]["function"]["arguments"] == ARGUMENTS


@pytest.mark.parametrize("body", [TO_JSON, CONCATENATED, PRINTED, JOINED, EITHER, STRIPPED])
@pytest.mark.parametrize("written", [ARGUMENTS, json.dumps(ARGUMENTS, ensure_ascii=True)])
def test_every_template_writes_the_arguments_as_json_once(body: str, written: object) -> None:
    text = _rendered(body, *_item(written).messages)
    assert text.count('{"city": "Köln", "days": 2, "flag": true, "none": null}') == 1
    assert "\\" not in text
    assert "'city'" not in text


def test_the_template_of_qwen_writes_them_once() -> None:
    template = compile_template(read_template("qwen2_5"))
    text = render_template(
        template,
        _item(json.dumps(ARGUMENTS)).messages,
        add_generation_prompt=False,
        tools=None,
        special_tokens={},
    )
    expected = '{"name": "f", "arguments": {"city": "Köln", "days": 2, "flag": true, "none": null}}'
    assert expected in text


def test_a_content_that_looks_like_python_changes_nothing() -> None:
    call = assistant("", tool_calls=[_call({"a": 1})])
    assert _rendered(TO_JSON, user("What is {'a': 1}?"), call) == (
        "What is {'a': 1}?<call>{\"a\": 1}</call>"
    )


def test_a_template_that_fails_for_both_says_what_it_says_of_the_row() -> None:
    call = assistant("", tool_calls=[_call({"a": 1})])
    with pytest.raises(Exception, match="no calls of mapping"):
        _rendered(
            "raise_exception('no calls of ' ~ ('mapping' if call.function.arguments is mapping "
            "else 'text'))",
            call,
        )
