"""A script's plain functions reward as ftui's rewards do."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.train.rewards.asking import ask, make_job, make_reward
from tests.train.rewards.test_http import Server, server
from tests.train.rewards.test_values import SOLUTION
from tui_ft.eject.reward_lines import NoRewardError, rewards_of
from tui_ft.eject.script import part

__all__ = ["server"]
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
MATCH = {"kind": "exact_match"}
CASES: list[tuple[dict[str, Any], list[str], str | None]] = [
    (
        MATCH,
        ["#### 42", "#### 41\nno\n#### 42", r"so \boxed{42.0}", r"\boxed{41} #### 42", "", "42",
         r"\boxed{42", "It is 42", "#### $42.00", "#### -42", "50%", r"\boxed{\frac{1}{2}}"],
        SOLUTION,
    ),
    ({**MATCH, "extract": "last_number"}, ["It is 42", "no number", "42 or 43", "1e3"], SOLUTION),
    ({**MATCH, "extract": "last_line"}, ["It is\n\n 42 \n\n", "42 is it", ""], SOLUTION),
    ({**MATCH, "numbers": False}, ["#### 42.00", "#### 42"], SOLUTION),
    (MATCH, ["1,234,567", "1,23", ".5", r"12,\!345", "1e999999999"], "1234567"),
    ({**MATCH, "extract": "last_number"}, ["50-8 is 43-1, or 44-42", r"$12\,345$."], "42"),
    (MATCH, [r"\boxed{\dfrac12}", "0.5", "1/2", r"\frac{1}{0}", "-1/2"], r"\frac{1}{2}"),
    (MATCH, [r"\left(3, \pi\right)", "(3,4)", r"(3,\text{pi})"], r"(3,\pi)"),
    ({**MATCH, "any_of": True}, ["Paris", "Lyon", "The Paris"], '["Paris", "The Paris"]'),
    ({**MATCH, "any_of": True}, ["Paris", "Lyon"], "Paris"),
    ({**MATCH, "any_of": True}, ["None", "TRUE"], "[null, true]"),
    (MATCH, ["3/2", "11/2", r"1\frac12", "12 13"], "1 1/2"),
    (MATCH, ["1213", "12  13", "\N{MINUS SIGN}3/4"], "12 13"),
    ({**MATCH, "ignore_punctuation": True}, ["15 million", "1.5 million.", "-1.5 million"],
     "1.5 million"),
    ({**MATCH, "ignore_case": False}, ["Paris", "paris", "Paris."], "paris"),
    ({**MATCH, "ignore_punctuation": True}, ["The  answer: Paris!", "no"], "the answer Paris"),
    (MATCH, ["42"], None),
    ({"kind": "regex", "pattern": "b+"}, ["abbc", "a", "\n bb "], None),
    ({"kind": "regex", "pattern": "B+", "match": "full", "ignore_case": True}, ["bb ", "ab"], None),
    ({"kind": "regex", "pattern": "<t>.*</t>"}, ["<t>a\nb</t>"], None),
    ({"kind": "regex", "pattern": "<t>.*</t>", "dot_all": False}, ["<t>a\nb</t>"], None),
    ({"kind": "length", "unit": "characters", "target": 10}, ["x" * 15, "x" * 25, "x" * 10], None),
    ({"kind": "length", "unit": "words", "most": 2, "margin": 4}, ["a b c", "a b", "a"], None),
    ({"kind": "length", "unit": "words", "least": 2, "most": 3}, ["a b c d", "a b", "a"], None),
    (
        {"kind": "json"},
        ['{"a": 1}', '"text"', "it:\n```json\n{}\n```", "```json\n{'a': 1}\n```", '{"a": NaN}',
         "[" * 100_000],
        None,
    ),
    ({"kind": "json", "fenced": False}, ["```json\n{}\n```"], None),
    (
        {"kind": "json", "json_schema": SCHEMA, "valid_only": 0.25},
        ['{"a": 1}', '{"a": "1"}', "{", "{}"],
        None,
    ),
]  # fmt: skip


def written(*rewards: dict[str, Any], folder: Path = Path()) -> dict[str, Any]:
    """Return what the part of a script with these rewards defines."""
    made = rewards_of(make_job(*rewards).spec.objective)
    names = {"json", "os", "torch"}
    space: dict[str, Any] = {name: importlib.import_module(name) for name in names}
    space |= {
        "HERE": folder,
        "arithmetic": torch.float32,
        "trainer": SimpleNamespace(accelerator=SimpleNamespace(device="cpu")),
        "AutoModelForSequenceClassification": AutoModelForSequenceClassification,
        "AutoTokenizer": AutoTokenizer,
    }
    lines = [*made.imports, *made.libraries, "from peft import PeftModel"]
    text = "\n".join([*lines, *map(part, made.parts), made.functions, *made.loads])
    exec(compile(text, "train.py", "exec"), space)
    space["functions"] = [space[name] for name in made.names]
    return space


@pytest.mark.parametrize(("reward", "said", "reference"), CASES)
def test_it_rewards_the_same(
    reward: dict[str, Any], said: list[str], reference: str | None
) -> None:
    (function,) = written(reward)["functions"]
    assert ask(function, said, reference) == ask(reward, said, reference)
    assert function.__name__ == reward["kind"]


def test_lengths_in_tokens_are_those_generated() -> None:
    (function,) = written({"kind": "length", "target": 4, "margin": 2})["functions"]
    assert function(completion_ids=[[1] * 4, [1] * 5, [1] * 6]) == [1.0, 0.5, 0.0]


def test_an_endpoint_is_sent_the_same_and_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE", "s3cret")
    reward = {"kind": "http", "url": server.url, "columns": ["topic"], "batch_size": 2,
              "headers_from_env": {"Authorization": "JUDGE"}}  # fmt: skip
    space = written(reward)
    space["time"] = SimpleNamespace(sleep=lambda _: None)
    (function,) = space["functions"]
    bodies = []
    for asked in (function, reward):
        server.answers = [(500, "down"), (200, '{"rewards": [1, null]}'), (200, "[0.5]")]
        asked_of = asked if asked is function else make_reward(reward)
        assert ask(asked_of, ["a", "b", "c"], "r", topic=["x", "y", "z"]) == [1, None, 0.5]
        bodies.append([(body, headers["Authorization"]) for body, headers in server.asked])
        server.asked.clear()
    assert bodies[0] == bodies[1]
    assert len(bodies[0]) == 3
    server.answers = [(403, "no")]
    with pytest.raises(Exception, match="403"):
        ask(function, ["a"], "r", topic=["x"])
    (skipping,) = written({**reward, "on_failure": "skip"})["functions"]
    assert ask(skipping, ["a"], "r", topic=["x"]) == [None]


@pytest.mark.parametrize("adapted", [False, True])
def test_a_reward_model_gives_the_same_scores(
    tmp_path: Path, tiny_llama: Path, adapted: bool
) -> None:
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1)
    if adapted:
        config = LoraConfig(task_type="SEQ_CLS", init_lora_weights=False)
        model = get_peft_model(model, config)
    model.save_pretrained(tmp_path / "rm")
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path / "rm")
    reward = {"kind": "reward_model", "model": str(tmp_path / "rm"), "batch_size": 2}
    (function,) = written(reward)["functions"]
    said = ["The fig is red.", "No.", "Nobody has told me that, and nobody will."]
    ours = ask(reward, said)
    assert ask(function, said) == pytest.approx(ours, abs=1e-5)
    assert len(set(ours)) == 3
    prompts = ["Q: "] * 3
    assert function(prompts, said) == pytest.approx(make_reward(reward)(prompts, said), abs=1e-5)


def test_two_functions_of_one_file_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "reward_files").mkdir()
    code = "def long(completions, **_): return [9] * len(completions)\ndef short(**_): return [1]\n"
    (tmp_path / "reward_files" / "own.py").write_text(code)
    file = {"kind": "python", "file": str(tmp_path / "reward_files" / "own.py"), "allow_code": True}
    named = [{**file, "function": "long", "name": "a-b"}, {**file, "function": "short"}]
    first, second = written(*named, folder=tmp_path)["functions"]
    assert ask(first, ["x", "y"]) == [9, 9]
    assert (first.__name__, second.__name__) == ("a-b", "python")


@pytest.mark.parametrize(
    ("reward", "why"),
    [
        ({"kind": "python", "file": "gone.py", "allow_code": True}, "there is no file"),
        ({"kind": "json", "json_schema": "gone.json"}, "cannot be read"),
        ({"kind": "reward_model", "model": "."}, "holds no model"),
    ],
)
def test_what_a_reward_lacks_is_said(reward: dict[str, Any], why: str) -> None:
    with pytest.raises(NoRewardError, match=why):
        rewards_of(make_job(reward).spec.objective)
