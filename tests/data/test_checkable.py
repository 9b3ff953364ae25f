"""By what answers can be checked, as rows show it."""

from __future__ import annotations

from typing import Any

import pytest

from tui_ft.data import Conversation, Row, convert, detect
from tui_ft.data.checkable import Checkable, asked_columns, checkable, of_answers, prompt_share
from tui_ft.spec.rewards import ExactMatchReward, JsonReward
from tui_ft.train.rewards.exact_match import is_match


def as_rows(values: list[dict[str, Any]]) -> list[Row]:
    return [Row(number, value) for number, value in enumerate(values, 1)]


def found_in(values: list[dict[str, Any]], **columns: str) -> Checkable | None:
    rows = as_rows(values)
    return checkable(rows, detect(rows, columns=columns))


def test_worked_sums_are_compared_by_their_last_number() -> None:
    working = "First we add both of the numbers.\n#### {}"
    found = found_in([{"question": f"{n}+{n}?", "answer": working.format(2 * n)} for n in range(9)])
    assert found is not None
    assert (found.kind, found.worked, found.marked, found.columns) == ("answer", True, True, {})
    reward = ExactMatchReward.model_validate(found.reward)
    assert is_match(reward, "I think it is 4, so 4.", working.format(4))
    assert not is_match(reward, "I think it is 4, no, 5.", working.format(4))


def test_boxed_formulas_are_compared_as_they_stand() -> None:
    found = of_answers([f"We see that it follows: \\boxed{{x^{n}}}." for n in range(9)])
    assert found is not None
    assert (found.reward["extract"], found.reward["extract_reference"]) == ("boxed", "boxed")
    reward = ExactMatchReward.model_validate(found.reward)
    assert is_match(reward, "so \\boxed{x^3}", "We see that it follows: \\boxed{x^3}.")


def test_a_mark_that_many_rows_lack_is_none() -> None:
    assert (
        of_answers(["a long answer that goes on and on for a while"] * 5 + ["#### 4"] * 4) is None
    )


@pytest.mark.parametrize(
    "answer",
    [
        "#### Introduction\nA text with headings.\n#### Summary\nIt says what there is to say.",
        "Here is the function that was asked for:\ndef f():\n    pass\n########\n# the end",
    ],
)
def test_headings_and_rulers_are_no_marks_of_answers(answer: str) -> None:
    assert of_answers([answer] * 9) is None


@pytest.mark.parametrize(
    ("answers", "extract"),
    [(["42", "1,000", "$7"], "last_number"), (["yes", "no", "It depends"], "last_line")],
)
def test_short_answers_leave_nothing_to_imitate(answers: list[str], extract: str) -> None:
    found = of_answers(answers)
    assert found is not None
    assert (found.reward["extract"], found.worked, found.marked) == (extract, False, False)


def test_json_answers_have_a_schema_of_what_they_share() -> None:
    found = of_answers(['{"name": "a", "age": 3}', '{"name": "b", "age": 3.5, "more": null}'])
    assert found is not None
    assert found.kind == "form"
    reward = JsonReward.model_validate(found.reward)
    assert reward.json_schema == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "number"}},
        "required": ["name", "age"],
    }


@pytest.mark.parametrize("asked_by", ["prompt", "question"])
def test_what_is_right_may_stand_in_a_column_beside_the_prompt(asked_by: str) -> None:
    values: list[dict[str, Any]] = [
        {asked_by: f"{n}+1?", "ground_truth": f"{n + 1}"} for n in range(9)
    ]
    found = found_in(values)
    assert found is not None
    assert found.columns == {"instruction": asked_by, "output": "ground_truth"}
    rows = as_rows(values)
    asked = convert(rows[0], detect(rows, columns=found.columns))
    assert isinstance(asked, Conversation)
    assert [message["content"] for message in asked.messages] == ["0+1?", "1"]


def test_tests_are_seen_and_no_reward_of_ours_runs_them() -> None:
    found = found_in([{"prompt": "Write f.", "test_list": ["assert f()"]}] * 3)
    assert found is not None
    assert (found.kind, found.reward) == ("tests", {})


@pytest.mark.parametrize("value", [None, "", "false", []])
def test_a_column_called_test_may_hold_none(value: object) -> None:
    prose = "The sea is blue because water takes up red light, and more so the deeper it is."
    rows = [{"question": "Why?", "answer": prose, "test": value}] * 3
    assert found_in(rows) is None


def test_classes_and_grades_are_not_what_is_right() -> None:
    grades = [{"prompt": f"Poem {n}", "label": str(n % 5)} for n in range(40)]
    assert found_in(grades) is None
    sums = found_in([{"prompt": f"{n}+1?", "label": f"{n + 1}"} for n in range(40)])
    assert sums is not None
    assert sums.columns == {"instruction": "prompt", "output": "label"}


def test_plain_prompts_are_asked_through_the_template() -> None:
    rows = as_rows([{"prompt": "Say something."}] * 3)
    columns = asked_columns(rows, detect(rows).columns)
    assert columns == {"instruction": "prompt"}
    assert detect(rows, columns=columns).format == "prompt_only"
    dialogues = as_rows([{"prompt": [{"role": "user", "content": "Hi"}]}] * 3)
    assert asked_columns(dialogues, {"prompt": "prompt"}) == {}


def test_prose_cannot_be_checked() -> None:
    prose = "The sea is blue because water takes up red light, and more so the deeper it is."
    assert found_in([{"question": "Why?", "answer": prose}] * 5) is None
    assert found_in([{"prompt": "Why?", "chosen": prose, "rejected": "No idea."}] * 5) is None


def test_prompts_are_measured_against_whole_rows() -> None:
    rows = as_rows([{"question": "x" * 100, "answer": "y" * 300}, {"question": "x", "answer": "y"}])
    assert prompt_share(rows, detect(rows)) == 0.25
    pairs = as_rows([{"prompt": "x" * 50, "chosen": "y", "rejected": "z" * 150}])
    assert prompt_share(pairs, detect(pairs)) == 0.25
    texts = as_rows([{"text": "nothing is asked here"}])
    assert prompt_share(texts, detect(texts)) is None
