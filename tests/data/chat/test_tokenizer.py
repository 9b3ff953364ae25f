"""Reading a tokenizer and its template from a model's folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.data.chats import assistant, user
from tests.data.families import FAMILIES
from tests.data.small_tokenizer import load_family, write_model_folder
from tui_ft.data import DataError, TemplateError
from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer

FAMILY = FAMILIES["llama3"]
MESSAGES = [user("Hi"), assistant("yes")]


def _config(folder: Path, **changes: Any) -> None:
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def _with_template(folder: Path, template: str) -> LocalChatTokenizer:
    write_model_folder(folder, FAMILY)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return load_chat_tokenizer(folder)


def _refusal(folder: Path, template: str) -> str:
    with pytest.raises(TemplateError) as raised:
        _with_template(folder, template).render(MESSAGES)
    return str(raised.value)


def test_what_is_read(tmp_path: Path) -> None:
    tokenizer = load_family(tmp_path, FAMILY)
    assert tokenizer.eos_token == "<|eot_id|>"
    assert tokenizer.bos_token == "<|begin_of_text|>"
    assert tokenizer.special_tokens == set(FAMILY.special)
    assert tokenizer.stop_tokens == {"<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"}


def test_bos_is_none_where_the_tokenizer_puts_none(tmp_path: Path) -> None:
    assert load_family(tmp_path, FAMILIES["smollm2"]).bos_token is None


def test_special_tokens_known_to_the_configuration_only(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, FAMILY)
    added = {"500": {"content": "<|extra|>", "special": True, "normalized": False}}
    _config(folder, added_tokens_decoder=added, pad_token={"content": "<|pad|>"})
    tokenizer = load_chat_tokenizer(folder)
    assert {"<|extra|>", "<|pad|>"} <= tokenizer.special_tokens
    assert len(tokenizer.encode("<|extra|><|pad|>").ids) == 2


def test_the_special_tokens_map_of_older_models(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, FAMILY)
    _config(folder, eos_token=None)
    (folder / "special_tokens_map.json").write_text('{"eos_token": {"content": "<|end_of_text|>"}}')
    assert load_chat_tokenizer(folder).eos_token == "<|end_of_text|>"


def test_truncation_kept_in_the_file_does_not_cut(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, FAMILY)
    file = folder / "tokenizer.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    whole["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    file.write_text(json.dumps(whole), encoding="utf-8")
    assert len(load_chat_tokenizer(folder).encode("a b c d e f").ids) > 2


def test_where_templates_come_from(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", FAMILY)
    own = tmp_path / "own.jinja"
    own.write_text("own")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    (folder / "chat_template.jinja").write_text("file")
    _config(folder, chat_template="config")
    tokenizer = load_chat_tokenizer(folder)
    assert tokenizer.render(MESSAGES) == "file"
    assert tokenizer.render(MESSAGES, tools=[{}]) == "tools"
    assert load_chat_tokenizer(folder, own).render(MESSAGES, tools=[{}]) == "own"
    (folder / "additional_chat_templates" / "tool_use.jinja").unlink()
    (folder / "chat_template.jinja").unlink()
    assert load_chat_tokenizer(folder).render(MESSAGES) == "config"
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    _config(folder, chat_template=named)
    tokenizer = load_chat_tokenizer(folder)
    assert (tokenizer.render(MESSAGES), tokenizer.render(MESSAGES, tools=[{}])) == ("a", "b")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "Hi"}'),
        ("{{ {'a': '<é>'} | tojson(indent=1) }}", '{\n "a": "<é>"\n}'),
        ("{{ eos_token }}{{ bos_token }}", "<|eot_id|><|begin_of_text|>"),
        ("  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"),
        ("{% for m in messages %}{{ m.role }}{% break %}{% endfor %}", "user"),
        ("a{% generation %}{{ messages[1].content }}{% endgeneration %}b", "ayesb"),
        ("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "21"),
        ("{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}", "2"),
        ("{{ dict(a=1).a }}{{ dict.fromkeys(['b']) }}", "1{'b': None}"),
        (
            "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}",
            "True True False",
        ),
        ("{{ messages[1].tool_calls is defined }}", "False"),
    ],
)
def test_the_helpers_templates_use(template: str, expected: str, tmp_path: Path) -> None:
    assert _with_template(tmp_path, template).render(MESSAGES) == expected


def test_today(tmp_path: Path) -> None:
    shown = _with_template(tmp_path, "{{ strftime_now('%d %b %Y') }}").render(MESSAGES)
    assert re.fullmatch(r"\d\d \w{3} \d{4}", shown)


def test_none_is_left_out(tmp_path: Path) -> None:
    tokenizer = _with_template(tmp_path, "{{ messages[0] | length }}{{ messages[0].content }}")
    assert tokenizer.render([{"role": "user", "content": None, "name": None}]) == "1"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_by_any_name(name: str, tmp_path: Path) -> None:
    tokenizer = _with_template(tmp_path, "{{ messages[0].reasoning_content }}")
    assert tokenizer.render([assistant("yes", **{name: "hmm"})]) == "hmm"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[0].nothing.more }}", "'dict object' has no attribute 'nothing'"),
        ("{{ 'a' + 1 }}", 'can only concatenate str (not "int") to str'),
        ("a\n{% if %}", "the template is not valid in line 2: "),
        ("{{ raise_exception('\x1b[31mred') }}", "red"),
        (
            "{{ ''.__class__.__mro__ }}",
            "access to attribute '__class__' of 'str' object is unsafe.",
        ),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{% set ns = namespace(_a=1) %}", "may not set the attribute '_a' on a namespace"),
        ("{% set ns = namespace() %}{% set ns._a = 1 %}", "may not set the attribute '_a'"),
        ("{{ range(10**9) }}", "Range too big"),
    ],
)
def test_a_template_that_fails_is_quoted(template: str, said: str, tmp_path: Path) -> None:
    assert said in _refusal(tmp_path, template)
    assert "\x1b" not in _refusal(tmp_path, template)


def test_a_folder_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no tokenizer\.json"):
        load_chat_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file(name: str, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, FAMILY)
    (folder / name).write_text("{")
    with pytest.raises(DataError, match=rf"{re.escape(name)} cannot be read: "):
        load_chat_tokenizer(folder)


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, FAMILY)
    with pytest.raises(DataError, match=r"the chat template .*no\.jinja cannot be read"):
        load_chat_tokenizer(folder, tmp_path / "no.jinja")
