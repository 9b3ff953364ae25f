"""By what answers can be checked, as rows show it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tui_ft.data import Conversation, DataError, Row, RowProblem, convert, detect
from tui_ft.data.chat.prompts import asked_in
from tui_ft.data.checkable import Checkable, asked_columns, checkable, of_answers, prompt_share
from tui_ft.data.final_answer import extract
from tui_ft.data.items import Pair, Prompt
from tui_ft.data.parts import as_reference
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


SUMS = [f"{n}+{n}" for n in range(20)]
BOXED = "We add the two numbers, digit by digit, and find \\boxed{{{}}}."


def asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def told(question: str, answer: str) -> list[dict[str, str]]:
    return [*asked(question), {"role": "assistant", "content": answer}]


LAYOUTS: dict[str, tuple[Callable[[str, int], dict[str, Any]], str, bool]] = {
    "verl": (
        lambda q, a: {
            "data_source": "sums",
            "prompt": asked(q),
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": f"{a}"},
            "extra_info": {"split": "train"},
        },
        "last_number",
        False,
    ),
    "trl, dialogues": (lambda q, a: {"prompt": asked(q), "solution": f"{a}"}, "last_number", False),
    "trl, worked": (
        lambda q, a: {"prompt": asked(q), "solution": BOXED.format(a)},
        "last_number",
        True,
    ),
    "trl, numbers": (lambda q, a: {"prompt": asked(q), "answer": a}, "last_number", False),
    "trl, plain": (lambda q, a: {"prompt": q, "answer": f"{a}"}, "last_number", False),
    "floats": (lambda q, a: {"prompt": q, "ground_truth": a + 0.5}, "last_number", False),
    "lists of one": (lambda q, a: {"question": q, "answer": [a]}, "last_number", False),
    "lists of numbers": (lambda q, a: {"question": q, "answer": [a, a + 1]}, "last_line", False),
    "truths": (lambda q, a: {"question": q, "answer": a % 3 == 0}, "last_line", False),
    "dialogues, whole": (
        lambda q, a: {"messages": told(q, f"After some adding it is {a}."), "ground_truth": a},
        "last_number",
        True,
    ),
    "dialogues, asked": (
        lambda q, a: {"messages": asked(q), "final_answer": f"#### {a}"},
        "last_number",
        False,
    ),
    "NuminaMath 1.5": (
        lambda q, a: {
            "problem": q,
            "solution": BOXED.format(f"\\frac{{{a}}}{{7}}"),
            "answer": f"\\frac{{{a}}}{{7}}",
            "source": "olympiads",
        },
        "boxed",
        True,
    ),
    "MATH": (
        lambda q, a: {
            "problem": q,
            "solution": BOXED.format(f"x^{a}"),
            "level": "Level 5",
            "type": "Algebra",
        },
        "boxed",
        True,
    ),
    "fractions": (lambda q, a: {"problem": q, "answer": f"{a}/7"}, "boxed", False),
    "letters beside a box": (
        lambda q, a: {
            "problem": q,
            "solution": BOXED.format("ABCD"[a % 4]),
            "answer": "ABCD"[a % 4],
        },
        "boxed",
        True,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_in_which_checkable_rows_are_published(layout: str) -> None:
    """Rows of verl, trl, open-r1, MATH: each truth earns itself, and no other row's."""
    make, extracted, worked = LAYOUTS[layout]
    values = [make(question, 2 * number) for number, question in enumerate(SUMS)]
    found = found_in(values)
    assert found is not None
    assert (found.kind, found.reward["extract"], found.worked) == ("answer", extracted, worked)
    reward = ExactMatchReward.model_validate(found.reward)
    rows = as_rows(values)
    detection = detect(rows, columns=found.columns)
    told = [
        asked_in(item)
        for row in rows
        if not isinstance(item := convert(row, detection), RowProblem)
    ]
    assert len(told) == len(rows)
    references = [one.reference for one in told if one is not None and one.reference]
    assert len(references) == len(rows)
    assert [one.shown for one in told if one is not None] == SUMS
    assert not isinstance(told[0].prompt if told[0] else "", str), "asked through the template"
    given = [extract(one, "auto") or "" for one in references]
    said = [f"So\n\\boxed{{{one}}}" if extracted == "boxed" else f"So\n{one}" for one in given]
    assert all(is_match(reward, *both) for both in zip(said, references, strict=True))
    same = [one == given[4] for one in given]
    assert [is_match(reward, one, references[4]) for one in said] == same


def test_one_of_several_right_answers_will_do() -> None:
    rows = [{"question": f"Capital {n}?", "answer": [f"City{n}", f"The City{n}"]} for n in range(9)]
    found = found_in(rows)
    assert found is not None
    assert found.reward["any_of"] is True
    reward = ExactMatchReward.model_validate(found.reward)
    item = convert(as_rows(rows)[4], detect(as_rows(rows), columns=found.columns))
    assert not isinstance(item, RowProblem)
    told = asked_in(item)
    assert told is not None
    assert told.reference is not None
    assert is_match(reward, "It is this:\nThe City4.", told.reference)
    assert not is_match(reward, "City5", told.reference)


def test_a_solution_is_learned_and_an_answer_compared_with() -> None:
    rows = as_rows([{"problem": "p", "solution": "s" * 50, "answer": "7"}] * 3)
    found = detect(rows)
    assert (found.format, found.style) == ("alpaca", "problem and solution")
    item = convert(rows[0], found)
    assert isinstance(item, Conversation)
    assert (item.messages[-1]["content"], item.reference) == ("s" * 50, "7")


def test_solutions_that_say_nothing_leave_the_answers() -> None:
    values = [{"problem": "p", "solution": "", "answer": f"{n}"} for n in range(20)]
    assert detect(as_rows(values)).columns == {"instruction": "problem", "output": "answer"}


def test_an_answer_that_few_rows_have_is_not_compared_with() -> None:
    values = [
        {"question": "q", "response": f"r{n}", "answer": "7" if n % 2 else ""} for n in range(20)
    ]
    assert "reference" not in detect(as_rows(values)).columns


def test_what_is_right_may_lie_within_a_column() -> None:
    row = {"prompt": "p", "extra": {"truth": {"value": 5}}}
    found = detect(as_rows([row]), columns={"prompt": "prompt", "reference": "extra.truth.value"})
    item = convert(as_rows([row])[0], found)
    assert isinstance(item, Prompt)
    assert item.reference == "5"
    with pytest.raises(
        DataError, match=r"data\.columns\.reference: no row has a column `other\.x`"
    ):
        detect(as_rows([row]), columns={"prompt": "prompt", "reference": "other.x"})


@pytest.mark.parametrize(
    "prompt",
    [
        "### Instruction:\nSay it.\n### Response:",
        "<|im_start|>user\nHi",
        "[INST] Hi [/INST]",
        "Q: why\nA:",
    ],
)
def test_prompts_in_a_template_of_their_own_get_no_other(prompt: str) -> None:
    rows = as_rows([{"prompt": prompt, "completion": "yes"}] * 3)
    assert asked_columns(rows, detect(rows).columns) == {}


def test_plain_pairs_and_verdicts_are_asked_through_the_template() -> None:
    pairs = as_rows([{"prompt": "Say it", "chosen": "a", "rejected": "b"}] * 3)
    columns = asked_columns(pairs, detect(pairs).columns)
    assert detect(pairs, columns=columns).format == "preference"
    item = convert(pairs[0], detect(pairs, columns=columns))
    assert isinstance(item, Pair)
    assert isinstance(item.chosen, Conversation)
    judged = as_rows([{"prompt": "Say it", "completion": "a", "label": True}] * 3)
    columns = asked_columns(judged, detect(judged).columns)
    assert columns == {"instruction": "prompt", "output": "completion", "label": "label"}
    assert detect(judged, columns=columns).format == "kto"


@pytest.mark.parametrize(
    ("value", "reference"),
    [(42, "42"), (True, "true"), ([" 7"], " 7"), ([1, 2], "[1,2]"), (math.nan, None), ("  ", None)],
)
def test_what_is_right_is_text(value: object, reference: str | None) -> None:
    assert as_reference(value) == reference


def test_what_no_json_can_hold_is_no_reference() -> None:
    assert as_reference([1, -(2**63) - 1]) is None
    deep: list[object] = [1, 2]
    for _ in range(600):
        deep = [deep, 2]
    assert as_reference(deep) is None
    single: object = "7"
    for _ in range(5000):
        single = [single]
    assert as_reference(single) == "7"
