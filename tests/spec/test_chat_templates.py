"""A chat template is named by what ftui calls it, or by a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.chats import assistant, chat, user
from tests.data.small_tokenizer import Family, load_family
from tests.train.running import make_spec
from tui_ft.data import MaskedRow, mask_row
from tui_ft.runs.checks.preflight import check
from tui_ft.runs.launch import with_absolute_paths
from tui_ft.spec import RunSpec
from tui_ft.spec.chat_templates import SHIPPED, template_file, template_problem


def spec_with(tmp_path: Path, model: Path, template: str) -> RunSpec:
    return make_spec(tmp_path, model, model={"name_or_path": str(model), "chat_template": template})


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_template_that_is_shipped_teaches_the_answer_and_its_end(
    tmp_path: Path, name: str
) -> None:
    special = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
    source = template_file(name).read_text()
    tokenizer = load_family(tmp_path, Family(source, special, eos="</s>", bos="<s>"))
    row = mask_row(chat(user("Hi"), assistant("Hello")), tokenizer)
    assert isinstance(row, MaskedRow)
    learned = "".join(row.text[first:last] for first, last in row.spans)
    assert learned.removesuffix("\n") == {"plain": "Hello</s>", "chatml": "Hello<|im_end|>"}[name]
    asked = tokenizer.render([user("Hi")], add_generation_prompt=True)
    assert row.text.startswith(asked)


def test_a_name_is_kept_and_a_file_made_absolute(tmp_path: Path, tiny_llama: Path) -> None:
    named = with_absolute_paths(spec_with(tmp_path, tiny_llama, "chatml"), tmp_path)
    assert named.model.chat_template == "chatml"
    file = with_absolute_paths(spec_with(tmp_path, tiny_llama, "my.jinja"), tmp_path)
    assert file.model.chat_template == str(tmp_path / "my.jinja")


def test_where_the_plain_one_lay_in_another_installation_is_understood() -> None:
    old = "/opt/elsewhere/tui_ft/advise/templates/plain.jinja"
    assert template_file(old) == template_file("plain")
    assert template_problem(old) is None


def test_what_is_no_template_is_said_before_the_run(tmp_path: Path, tiny_llama: Path) -> None:
    findings = check(spec_with(tmp_path, tiny_llama, "chatlm"), tmp_path)
    (bad,) = [one.text for one in findings if one.severity == "bad"]
    assert bad.startswith("model.chat_template: ")
    assert bad.endswith("a file, or one that ftui ships: chatml, plain")
    notes = [one.text for one in check(spec_with(tmp_path, tiny_llama, "plain"), tmp_path)]
    assert any(said.startswith("chat template plain: roles in plain words") for said in notes)
