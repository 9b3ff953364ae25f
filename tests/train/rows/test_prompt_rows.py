"""Rows of prompts: tokens, the row's own answer, and the columns that rewards are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from transformers import AutoTokenizer

from tests.tiny_model import chat_rows, write_rows
from tests.train.running import make_spec
from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunFailure
from tui_ft.train.objectives.prompts import whole_row
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.dataset import TrainingData, prepare_data

REGEX = {"kind": "regex", "pattern": "a"}
EXACT = {"kind": "exact_match"}
PYTHON = {"kind": "python", "file": "r.py", "allow_code": True}


def _http(*columns: str) -> dict[str, Any]:
    return {"kind": "http", "url": "http://localhost/", "columns": list(columns)}


def _spec(folder: Path, model: Path, *rewards: dict[str, Any], **data: Any) -> RunSpec:
    return make_spec(
        folder,
        model,
        objective={"kind": "grpo", "rewards": list(rewards), "max_completion_length": 16},
        data={"eval_fraction": 0.0, **data},
    )


def _prepared(spec: RunSpec, folder: Path) -> TrainingData:
    tokenizer = TransformersChatTokenizer(AutoTokenizer.from_pretrained(spec.model.name_or_path))
    return prepare_data(spec, tokenizer, folder / "cache", 2, lambda _: None)


def _rows() -> list[dict[str, Any]]:
    return [
        {"question": f"What is {n} x 7?", "answer": f"#### {n * 7}", "level": n % 3, "prompts": "x"}
        for n in range(20)
    ]


def test_tokens_are_those_of_the_rendered_question(tmp_path: Path, tiny_llama: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", _rows())
    data = _prepared(_spec(tmp_path, tiny_llama, EXACT), tmp_path)
    assert len(data.train) == 20
    row = data.train[5]
    text = AutoTokenizer.from_pretrained(tiny_llama).decode(row["prompt_input_ids"])
    assert text == "<|im_start|>user\nWhat is 5 x 7?<|im_end|>\n<|im_start|>assistant\n"
    whole = whole_row(row)
    assert whole == {
        "prompt": [{"role": "user", "content": "What is 5 x 7?"}],
        "reference": "#### 35",
    }
    assert row["line"] == 6
    totals = data.totals
    assert totals.rows == 20
    assert totals.tokens == sum(len(ids) for ids in data.train["prompt_input_ids"])
    assert totals.longest == max(len(ids) for ids in data.train["prompt_input_ids"])


@pytest.mark.parametrize(
    ("rewards", "kept"),
    [
        ((REGEX,), set()),
        ((_http("level"), REGEX), {"level"}),
        ((PYTHON, _http("level")), {"question", "answer", "level"}),  # `prompts` is trl's own name
    ],
)
def test_columns_go_where_a_reward_looks_at_them(
    tmp_path: Path, tiny_llama: Path, rewards: tuple[dict[str, Any], ...], kept: set[str]
) -> None:
    write_rows(tmp_path / "rows.jsonl", _rows())
    row = _prepared(_spec(tmp_path, tiny_llama, *rewards), tmp_path).train[4]
    assert set(orjson.loads(row["columns"])) == kept
    if "level" in kept:
        assert whole_row(row)["level"] == 1


def test_what_rewards_lack_is_said(tmp_path: Path, tiny_llama: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", _rows())
    with pytest.raises(RunFailure, match="no row has the column source"):
        _prepared(_spec(tmp_path, tiny_llama, _http("source")), tmp_path)
    some = [{k: v for k, v in row.items() if k != "level" or row["level"]} for row in _rows()]
    write_rows(tmp_path / "rows.jsonl", some)
    data = _prepared(_spec(tmp_path, tiny_llama, _http("level")), tmp_path)
    assert data.warnings == ("7 rows have no column level for the rewards",)
    judged: list[dict[str, Any]] = [
        {"prompt": "q", "completion": "a", "label": n < 3} for n in range(10)
    ]
    write_rows(tmp_path / "rows.jsonl", judged)
    data = _prepared(_spec(tmp_path, tiny_llama, EXACT), tmp_path)
    assert data.warnings == ("7 rows have no answer for exact_match to compare with",)


def test_other_prompts_are_mixed_in_by_their_tokens(tmp_path: Path, tiny_llama: Path) -> None:
    rows: list[dict[str, Any]] = [*chat_rows(40)]
    write_rows(tmp_path / "rows.jsonl", rows)
    write_rows(tmp_path / "more.jsonl", _rows())
    mix = {"train": str(tmp_path / "more.jsonl"), "weight": 0.25}
    data = _prepared(_spec(tmp_path, tiny_llama, REGEX, mix=mix), tmp_path)
    questions = [json.loads(prompt)[0]["content"] for prompt in data.train["prompt"]]
    tokens = [len(ids) for ids in data.train["prompt_input_ids"]]
    mixed = sum(n for n, q in zip(tokens, questions, strict=True) if q.startswith("What is"))
    assert mixed / sum(tokens) == pytest.approx(0.25, abs=0.03)


def test_what_is_right_comes_from_a_column_of_its_own(tmp_path: Path, tiny_llama: Path) -> None:
    """As verl and open-r1 lay rows out: compared is with the truth, not with the working."""
    asked = [{"role": "user", "content": "What is 5 x 7?"}]
    verl = {"prompt": asked, "reward_model": {"style": "rule", "ground_truth": 35}}
    worked = {"problem": "What is 5 x 7?", "solution": "5 x 7 makes it, so 35.", "answer": "35"}
    layouts: list[dict[str, Any]] = [verl, worked]
    for row in layouts:
        write_rows(tmp_path / "rows.jsonl", [row] * 3)
        (first, *_) = _prepared(_spec(tmp_path, tiny_llama, EXACT), tmp_path).train
        assert whole_row(first) == {"prompt": asked, "reference": "35"}
