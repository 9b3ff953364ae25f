"""Rewards in a run's description: what is refused, and by which words; there and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tui_ft.spec import SpecError, build_spec, dump_spec, load_spec
from tui_ft.spec.draft import Draft
from tui_ft.spec.online import GrpoObjective, RlooObjective

LEAST: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}
PYTHON = {"kind": "python", "file": "r.py", "allow_code": True}
HTTP = {"kind": "http", "url": "http://localhost:8000/score"}
ALL: list[dict[str, Any]] = [
    {"kind": "reward_model", "model": "judge", "weight": 0.5},
    {"kind": "exact_match", "extract": "last_number"},
    {"kind": "regex", "pattern": r"\d+: \\boxed", "name": "form"},
    {"kind": "json", "json_schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
    {"kind": "length", "most": 200, "margin": 50},
    {**HTTP, "headers_from_env": {"Authorization": "JUDGE_TOKEN"}},
    PYTHON,
]


def _with(*rewards: object, kind: str = "grpo") -> dict[str, Any]:
    return {**LEAST, "objective": {"kind": kind, "rewards": list(rewards)}}


@pytest.mark.parametrize(
    ("reward", "key", "said"),
    [
        ({"kind": "regexp"}, "", "unknown kind `regexp`"),
        ({"pattern": "a"}, "", "does not say its `kind`"),
        ({"kind": "regex"}, ".pattern", "is missing"),
        ({"kind": "regex", "pattern": "(a"}, ".pattern", "is no regular expression: missing )"),
        ({"kind": "regex", "pattern": "a", "patern": "b"}, ".patern", "unknown key"),
        ({"kind": "regex", "pattern": "a", "weight": "much"}, ".weight", "is 'much'"),
        ({"kind": "regex", "pattern": "a", "name": "a b"}, ".name", "cannot be used here"),
        ({"kind": "length"}, "", "says no length"),
        ({"kind": "length", "target": 3, "most": 4}, "", "target goes without least and most"),
        ({"kind": "length", "least": 5, "most": 4}, "", "least (5) is above most (4)"),
        ({**HTTP, "url": "localhost/score"}, ".url", "is no address of the form http://"),
        ({**HTTP, "url": "http://me:secret@host/"}, ".url", "would be written down with the run"),
        ({**HTTP, "url": "http://host/s?api_key=abc"}, ".url", "send it in a header"),
        (
            {**HTTP, "headers_from_env": {"Authorization": "Bearer sk-123"}},
            ".headers_from_env",
            "give the name of an environment variable",
        ),
        ({**PYTHON, "allow_code": False}, "", "r.py would be run as you: read it, then set"),
        ({**PYTHON, "function": "a.b"}, ".function", "cannot be used here"),
    ],
)
def test_a_fault_is_told_by_its_place_in_the_list(
    reward: dict[str, Any], key: str, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        build_spec(_with({"kind": "exact_match"}, reward))
    (problem,) = caught.value.problems
    assert problem.key == f"objective.rewards.1{key}"
    assert said in str(problem)


def test_a_secret_is_not_repeated_where_it_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        build_spec(_with({**HTTP, "headers_from_env": {"Authorization": "Bearer sk-123"}}))
    assert "sk-123" not in str(caught.value)


def test_the_nearest_key_is_that_of_the_rewards_kind() -> None:
    with pytest.raises(SpecError) as caught:
        build_spec(_with({"kind": "length", "most": 3, "marjin": 1}))
    assert caught.value.problems[0].nearest == "objective.rewards.0.margin"


@pytest.mark.parametrize("rewards", [None, []])
def test_there_has_to_be_one(rewards: list[Any] | None) -> None:
    objective = {"kind": "rloo"} | ({} if rewards is None else {"rewards": rewards})
    with pytest.raises(SpecError) as caught:
        build_spec({**LEAST, "objective": objective})
    assert caught.value.problems[0].key == "objective.rewards"


def test_every_kind_goes_to_yaml_and_back(tmp_path: Path) -> None:
    spec = build_spec(_with(*ALL))
    file = tmp_path / "run.yaml"
    file.write_text(dump_spec(spec))
    assert load_spec(file) == spec
    draft = Draft.of(spec, "a run")  # says only what is not so anyway, and still each kind
    assert draft.spec == spec
    assert draft.values["objective"]["rewards"][1] == ALL[1]


def test_a_fault_in_a_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "model: {name_or_path: m}\ndata: {train: d}\nobjective:\n  kind: grpo\n  rewards:\n"
        "    - kind: exact_match\n    - kind: regex\n      pattern: '['\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    assert caught.value.problems[0].line == 8


def test_defaults_are_trls() -> None:
    grpo, rloo = (build_spec(_with(*ALL[1:3], kind=kind)).objective for kind in ("grpo", "rloo"))
    assert isinstance(grpo, GrpoObjective)
    assert isinstance(rloo, RlooObjective)
    assert (grpo.num_generations, grpo.beta, grpo.loss_type) == (8, 0.0, "dapo")
    assert (rloo.num_generations, rloo.beta) == (2, 0.05)


def test_a_form_asks_for_them_and_takes_them_on_one_line() -> None:
    draft = Draft(LEAST)
    fields = {field.key: field for field in draft.fields}
    chosen = draft.with_text(fields["objective.kind"], "grpo")
    rewards = next(field for field in chosen.fields if field.key == "objective.rewards")
    assert (rewards.required, rewards.kind, chosen.spec) == (True, "yaml", None)
    assert chosen.problem_of("objective.rewards") is not None
    filled = chosen.with_text(rewards, "[{kind: regex, pattern: 'a|b'}, {kind: exact_match}]")
    assert filled.spec is not None
    assert filled.text_of(rewards) == "[{kind: regex, pattern: a|b}, {kind: exact_match}]"
