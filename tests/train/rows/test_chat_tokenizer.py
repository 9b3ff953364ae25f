"""The trainer's tokenizer and the light one say the same, to the letter and to the id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.data.chats import assistant, chat, masked, refused, system, user
from tests.data.families import FAMILIES
from tests.data.small_tokenizer import write_model_folder
from tui_ft.data import Completion, Conversation, Document, Message, TemplateError
from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer

Pair = tuple[LocalChatTokenizer, TransformersChatTokenizer]

TOOLS: tuple[dict[str, Any], ...] = (
    {"type": "function", "function": {"name": "add", "description": "<é>", "parameters": {}}},
)
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "add", "arguments": {"a": 1}}}
CONVERSATIONS: dict[str, Conversation] = {
    "one": chat(user("Hi"), assistant("Hello there")),
    "two": chat(user(" Hi\n"), assistant(" é😀 "), user("<b>&'\""), assistant("\n\nSure")),
    "system": chat(system("Be brief"), user("Hi"), assistant("yes")),
    "reasoning": chat(user("Hi"), assistant("yes", reasoning="hmm")),
    "tools": chat(
        user("Hi"),
        assistant("", tool_calls=[CALL]),
        {"role": "tool", "content": "2", "tool_call_id": "abcdefghi"},
        assistant("2", name=None),
        tools=TOOLS,
    ),
    "refused": chat(user("Hi"), user("Hi"), assistant("yes")),
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    """Return both tokenizers of every family."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("models")
    found: dict[str, Pair] = {}
    for name, family in FAMILIES.items():
        path = write_model_folder(folder / name, family)
        light = load_chat_tokenizer(path)
        whole = AutoTokenizer.from_pretrained(str(path))
        stop = [whole.convert_tokens_to_ids(token) for token in family.stop]
        found[name] = light, TransformersChatTokenizer(whole, stop)
    yield found


def _rendered(tokenizer: Any, item: Conversation, prompt: bool) -> str:
    try:
        text = tokenizer.render(item.messages, add_generation_prompt=prompt, tools=item.tools)
    except TemplateError as error:
        return f"refused: {error}"
    return str(text)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_they_know_is_the_same(family: str, pairs: dict[str, Pair]) -> None:
    light, whole = pairs[family]
    assert light.special_tokens == whole.special_tokens
    assert light.stop_tokens == whole.stop_tokens
    assert (light.bos_token, light.eos_token) == (whole.bos_token, whole.eos_token)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_text_and_tokens_are_the_same(family: str, name: str, pairs: dict[str, Pair]) -> None:
    light, whole = pairs[family]
    item = CONVERSATIONS[name]
    for prompt in (False, True):
        text = _rendered(light, item, prompt)
        assert text == _rendered(whole, item, prompt)
        assert light.encode(text) == whole.encode(text)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_masks_are_the_same(family: str, name: str, pairs: dict[str, Pair]) -> None:
    from tui_ft.data import mask_row

    light, whole = pairs[family]
    assert mask_row(CONVERSATIONS[name], light) == mask_row(CONVERSATIONS[name], whole)


@pytest.mark.parametrize("item", [Completion("Hi", " there"), Document("Hello there")])
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_text_is_masked_the_same(family: str, item: Any, pairs: dict[str, Pair]) -> None:
    light, whole = pairs[family]
    assert masked(item, light) == masked(item, whole)
    assert masked(item, whole).ends_turn


@pytest.mark.parametrize("family", ["llama2", "llama3", "smollm2"])
def test_plain_text_begins_as_transformers_begins_it(family: str, pairs: dict[str, Pair]) -> None:
    light, whole = pairs[family]
    plain = whole._tokenizer("Hello there")["input_ids"]
    assert masked(Document("Hello there"), light).input_ids[: len(plain)] == plain


@pytest.mark.parametrize("name", ["one", "two", "system"])
def test_templates_that_mark_generation_agree(name: str, pairs: dict[str, Pair]) -> None:
    _, whole = pairs["generation"]
    item = CONVERSATIONS[name]
    marked = whole._tokenizer.apply_chat_template(
        [dict(message) for message in item.messages],
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    row = masked(item, whole)
    assert row.input_ids == marked["input_ids"]
    assert row.supervised == [bool(bit) for bit in marked["assistant_masks"]]


@pytest.mark.parametrize(
    "body",
    ["call.function.arguments | tojson", "'```' + call.function.arguments + '```'",
     "call.function.arguments"],
)  # fmt: skip
def test_arguments_of_calls_are_written_the_same(body: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    calls = "{%- for call in message.tool_calls or [] %}{{ " + body + " }}{%- endfor %}"
    template = "{%- for message in messages %}{{ message.content }}" + calls + "{%- endfor %}"
    family = replace(FAMILIES["llama2"], template=template)
    folder = write_model_folder(tmp_path, family)
    whole = TransformersChatTokenizer(AutoTokenizer.from_pretrained(str(folder)))
    item = chat(user("Hi"), assistant("", tool_calls=[CALL]))
    text = whole.render(item.messages)
    assert '{"a": 1}' in text
    assert text == load_chat_tokenizer(folder).render(item.messages)


def test_a_tokenizer_without_template(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_model_folder(tmp_path, FAMILIES["llama2"])
    (folder / "chat_template.jinja").unlink()
    tokenizer = TransformersChatTokenizer(AutoTokenizer.from_pretrained(str(folder)))
    assert "model.chat_template" in refused(CONVERSATIONS["one"], tokenizer)


def test_messages_may_be_any_mapping(pairs: dict[str, Pair]) -> None:
    from types import MappingProxyType

    _, whole = pairs["smollm2"]
    message: Message = MappingProxyType({"role": "user", "content": "Hi"})
    assert whole.render([message]).endswith("<|im_start|>user\nHi<|im_end|>\n")
