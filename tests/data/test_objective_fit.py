"""Every objective against every format: what fits, and the way out where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tui_ft.data import Row, RowProblem, convert, detect, objective_refusal
from tui_ft.data.items import Judged, Labelled, Pair

ROWS: dict[str, dict[str, Any]] = {
    "messages": {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    },
    "prompt_completion": {"prompt": "q", "completion": "a"},
    "alpaca": {"instruction": "q", "output": "a"},
    "text": {"text": "some words"},
    "preference": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "kto": {"prompt": "q", "completion": "a", "label": True},
    "prompt_only": {"prompt": "q"},
    "text_label": {"text": "some words", "label": "good"},
}
ANSWERS = {"messages", "prompt_completion", "alpaca", "text"}
FITS = {
    "sft": ANSWERS,
    "pretraining": ANSWERS,
    "dpo": {"preference"},
    "orpo": {"preference"},
    "cpo": {"preference"},
    "reward": {"preference"},
    "kto": {"kto", "preference"},
    "classification": {"text_label"},
    **dict.fromkeys(("grpo", "rloo", "ppo"), set(ROWS) - {"text", "text_label"}),
}


def _rows(value: dict[str, Any]) -> list[Row]:
    return [Row(line, value) for line in range(1, 5)]


@pytest.mark.parametrize("objective", FITS)
@pytest.mark.parametrize("format", ROWS)
def test_what_fits_and_what_does_not(objective: str, format: str) -> None:
    rows = _rows(ROWS[format])
    detection = detect(rows)
    assert detection.format == format
    refused = objective_refusal(objective, detection, rows)
    assert (refused is None) == (format in FITS[objective])
    if refused is not None:
        assert "data.columns" in refused or "objective.kind" in refused


@pytest.mark.parametrize(
    ("objective", "format", "instead"),
    [
        ("dpo", "kto", "kto"),
        ("dpo", "messages", "sft"),
        ("kto", "messages", "sft"),
        ("reward", "text_label", "classification"),
        ("classification", "preference", "dpo"),
        ("sft", "preference", "dpo"),
        ("sft", "kto", "kto"),
        ("sft", "text_label", "classification"),
    ],
)
def test_the_objective_named_instead_learns_from_these_rows(
    objective: str, format: str, instead: str
) -> None:
    rows = _rows(ROWS[format])
    detection = detect(rows)
    assert f"objective.kind to {instead}" in (objective_refusal(objective, detection, rows) or "")
    assert objective_refusal(instead, detection, rows) is None


def test_prompts_name_no_objective_that_cannot_learn_from_them() -> None:
    rows = _rows(ROWS["prompt_only"])
    assert "objective.kind" not in (objective_refusal("dpo", detect(rows), rows) or "")


@pytest.mark.parametrize(
    ("objective", "value", "columns", "kind"),
    [
        (
            "dpo",
            {"question": "q", "better": "a", "worse": "b"},
            {"prompt": "question", "chosen": "better", "rejected": "worse"},
            Pair,
        ),
        (
            "kto",
            {"question": "q", "answer": "a", "good": 1},
            {"prompt": "question", "completion": "answer", "label": "good"},
            Judged,
        ),
        (
            "classification",
            {"review": "r", "sentiment": "s"},
            {"text": "review", "label": "sentiment"},
            Labelled,
        ),
    ],
)
def test_the_columns_it_tells_to_name_are_such_as_work(
    objective: str, value: dict[str, Any], columns: dict[str, str], kind: type
) -> None:
    rows = _rows(ROWS["text"])
    said = objective_refusal(objective, detect(rows), rows) or ""
    assert "{" + ", ".join(f"{part}: {name}" for part, name in columns.items()) + "}" in said
    asked = _rows(value)
    detection = detect(asked, columns=columns)
    assert objective_refusal(objective, detection, asked) is None
    item = convert(asked[0], detection)
    assert not isinstance(item, RowProblem)
    assert isinstance(item, kind)
