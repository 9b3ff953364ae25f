"""Masks found without marks, against the marks that trl writes into its training templates.

trl's marks take in what stands around an answer as well: the line break after its end, the header
before it. So what is learned here has to lie within them, with nothing but that left over.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from tests.data.chats import assistant, system, user
from tests.data.small_tokenizer import Family, load_family
from tui_ft.data import Conversation, Message
from tui_ft.data.chat.turns import find_turns

_SPEC = importlib.util.find_spec("trl")
TEMPLATES = Path(str(_SPEC.origin)).parent / "chat_templates" if _SPEC else Path("nowhere")

# Each with what trl's marks hold before the answer.
NAMES = {
    "cohere": "",
    "cohere2": "",
    "gemma": "",
    "gemma3": "",
    "glm4moe": "",
    "gptoss": "<|start|>assistant",
    "lfm2": "",
    "lfm2_v2": "",
    "llama3": "",
    "phi3": "",
    "phi3_5": "",
    "qwen2_5": "\n",
    "qwen2_5_vl": "",
    "qwen3_instruct_2507": "",
    "qwen3_vl": "",
    "smolvlm": "",
}
CONVERSATIONS = {
    "one": [user("Hi"), assistant("Hello there")],
    "system": [system("Be brief"), user("Hi"), assistant("Hello")],
    "two": [user("Hi"), assistant("Hello"), user("More"), assistant("Sure")],
    "equal": [user("Hello"), assistant("Hello"), user("Hello"), assistant("Hello")],
    "space": [user("Hi"), assistant("  Hello\n"), user("More"), assistant("\nSure ")],
}
_CONTROL = re.compile(r"<[|｜]?[^<>\s'\"{}]+?[|｜]>|<(?:start|end)_of_turn>")


def _read(name: str) -> str:
    file = TEMPLATES / f"{name}.jinja"
    if not file.is_file():
        pytest.skip(f"this trl has no template {name}")
    return file.read_text(encoding="utf-8")


def _marked(template: str, messages: list[Message]) -> tuple[str, list[tuple[int, int]]]:
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, marks = render_jinja_template(
        [[dict(message) for message in messages]],
        chat_template=template,
        return_assistant_tokens_mask=True,
        bos_token="<bos>",
        eos_token="<eos>",
    )
    return texts[0], _joined(marks[0])


def _joined(marks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in marks:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _in_parts(message: Message) -> Message:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


@pytest.mark.parametrize("about", CONVERSATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_learned_lies_in_what_trl_marks(name: str, about: str, tmp_path: Path) -> None:
    template, training = _read(name), _read(f"{name}_training")
    messages: list[Any] = list(CONVERSATIONS[about])
    if name == "smolvlm":
        messages = [_in_parts(message) for message in messages]
    if name == "gemma" and about == "system":
        pytest.skip("the template refuses a system message")
    special = ("<bos>", "<eos>", *sorted(set(_CONTROL.findall(template))))
    stop = tuple(token for token in special if token == "<|user|>")  # GLM's, and nobody else's end
    family = Family(template, special, eos="<eos>", bos="<bos>", stop=stop)
    tokenizer = load_family(tmp_path, family)
    text, marks = _marked(training, messages)
    item = Conversation(tuple(messages))
    whole = tokenizer.render(item.messages)
    assert text.startswith(whole) or whole.startswith(text)
    turns = find_turns(whole, item, tokenizer)
    assert len(turns) == len(marks)
    for turn, (start, end) in zip(turns, marks, strict=True):
        assert text[start : turn.start] == NAMES[name]
        left_over = text[turn.end : end]
        assert re.fullmatch(r"\s*(<eos>|<\|end\|>|<\|user\|>|<end_of_utterance>)?\s*", left_over)
