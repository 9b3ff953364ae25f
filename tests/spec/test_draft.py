from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.spec import SpecError, build_spec, find_presets
from tui_ft.spec.draft import Change, Draft
from tui_ft.spec.fields import SpecField, fields_of, shown_value
from tui_ft.spec.run_spec import TrainingSpec

FILLED = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}


def of(draft: Draft, key: str) -> SpecField:
    return next(one for one in draft.fields if one.key == key)


def typed(draft: Draft, **texts: str) -> Draft:
    for key, text in texts.items():
        name = key.replace("__", ".")
        draft = draft.with_text(of(draft, name), text)
    return draft


def keys(draft: Draft) -> set[str]:
    return {one.key for one in draft.fields}


def test_every_field_of_the_models_is_there_with_its_help() -> None:
    draft = Draft(FILLED)
    assert {f"training.{name}" for name in TrainingSpec.model_fields} <= keys(draft)
    assert all(one.help.endswith((".", "…")) for one in draft.fields), [
        one.key for one in draft.fields if not one.help.endswith((".", "…"))
    ]
    rate = of(draft, "training.learning_rate")
    assert (rate.kind, rate.basic, rate.required) == ("number", True, False)
    assert of(draft, "model.name_or_path").required
    assert of(draft, "model.dtype").choices == ("auto", "bfloat16", "float16", "float32")
    assert of(draft, "training.packing").choices == ("true", "false")


def test_a_method_has_its_own_fields() -> None:
    assert "method.r" in keys(Draft({**FILLED, "method": {"kind": "lora"}}))
    assert "method.r" not in keys(Draft({**FILLED, "method": {"kind": "full"}}))
    assert "method.bnb_4bit_quant_type" in keys(Draft({**FILLED, "method": {"kind": "qlora"}}))
    assert of(Draft(FILLED), "method.kind").choices[:3] == ("full", "lora", "qlora")


def test_what_another_field_makes_meaningless_is_left_out() -> None:
    assert "data.eval_fraction" in keys(Draft(FILLED))
    assert "data.eval_fraction" not in keys(typed(Draft(FILLED), data__eval="e.jsonl"))
    assert "training.save_total_limit" not in keys(
        typed(Draft(FILLED), training__save_steps="none")
    )


def test_what_is_typed_becomes_the_run_that_is_meant() -> None:
    draft = typed(
        Draft(FILLED),
        training__learning_rate="1e-4",
        training__packing="true",
        training__eval_steps="none",
        model__name_or_path="7",
        method__target_modules="[q_proj, v_proj]",
        hardware__gpus="[0, 1]",
        evaluation__score="on",
    )
    assert draft.spec is not None, draft.problems
    assert draft.spec.training.learning_rate == 1e-4
    assert draft.spec.training.packing is True
    assert draft.spec.training.eval_steps is None
    assert draft.spec.model.name_or_path == "7"
    assert draft.spec.hardware.gpus == [0, 1]
    assert draft.spec.evaluation.score is not None
    assert "evaluation.score.rows" in keys(draft)
    assert draft.text_of(of(draft, "method.target_modules")) == "[q_proj, v_proj]"


def test_nothing_typed_is_the_default_again() -> None:
    draft = typed(Draft(FILLED), training__learning_rate="1e-5")
    back = typed(draft, training__learning_rate=" ")
    assert back.values == FILLED


def test_another_method_drops_what_it_does_not_have() -> None:
    draft = Draft({**FILLED, "method": {"kind": "qlora", "r": 8, "bnb_4bit_quant_type": "fp4"}})
    assert typed(draft, method__kind="lora").values["method"] == {"kind": "lora", "r": 8}
    full = typed(draft, method__kind="full")
    assert full.spec is not None
    assert full.values["method"] == {"kind": "full"}


def test_faults_are_told_where_they_are() -> None:
    draft = typed(Draft({}), training__learning_rate="fast", method__r="0")
    for key in ("model.name_or_path", "data.train", "training.learning_rate", "method.r"):
        assert draft.problem_of(key) is not None, key
    assert draft.problem_of("training.max_length") is None
    assert "fast" in str(draft.problem_of("training.learning_rate"))
    assert draft.spec is None


def test_changes_are_counted_from_the_beginning() -> None:
    draft = Draft.begin({**FILLED, "method": {"kind": "lora", "r": 8}}, "a preset")
    assert draft.changes == ()
    changed = typed(draft, training__max_length="2048", method__kind="full")
    assert set(changed.changes) == {
        Change("training.max_length", "1024", "2048"),
        Change("method.kind", "lora", "full"),
        Change("method.r", "8", ""),
    }
    assert (
        typed(changed, training__max_length="1024", method__kind="lora", method__r="8").changes
        == ()
    )


@pytest.mark.parametrize("name", sorted(find_presets()))
def test_yaml_there_and_back_is_the_same_run(name: str) -> None:
    preset = find_presets()[name]
    draft = Draft({**preset.values, **FILLED})
    again = Draft({}).with_yaml(draft.to_yaml())
    assert again.spec == draft.spec == build_spec(draft.values)


def test_yaml_keeps_what_is_no_field_so_that_it_is_seen() -> None:
    draft = Draft(FILLED).with_yaml(
        "model: {name_or_path: m, nme: x}\ndata: {train: d}\ntrainig: {}\n"
    )
    assert {problem.key for problem in draft.problems} == {"model.nme", "trainig"}
    assert "nme: x" in draft.to_yaml()
    assert "trainig" in draft.to_yaml()
    with pytest.raises(SpecError, match="not valid YAML"):
        draft.with_yaml("a: [")


SETTABLE = [one for one in fields_of(FILLED) if not one.is_group and one.kind in ("flag", "choice")]


@given(
    st.lists(
        st.sampled_from(SETTABLE).flatmap(
            lambda one: st.tuples(st.just(one), st.sampled_from(one.choices))
        ),
        max_size=8,
    )
)
def test_any_choice_is_shown_as_it_was_made(chosen: list[tuple[SpecField, str]]) -> None:
    draft = Draft(FILLED)
    for one, choice in chosen:
        if one.key in keys(draft):
            draft = draft.with_text(one, choice)
            assert draft.text_of(one) == choice
    # Only what nothing but a person can say may be missing, such as the rewards of GRPO.
    unsaid = {one.key for one in draft.fields if one.required and not draft.is_set(one.key)}
    assert {problem.key for problem in draft.problems} == unsaid
    assert (draft.spec is None) is bool(unsaid)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-4, "0.0002"), (5e-7, "5e-07"), (True, "true"), (None, "none"), (3.0, "3"),
     (0.123456789, "0.123456789"), ({"a": "b"}, "{a: b}"), ([], "[]")],
)  # fmt: skip
def test_values_as_they_are_shown(value: object, text: str) -> None:
    assert shown_value(value) == text


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_a_run_as_a_draft_is_the_same_run_and_says_little(kind: str) -> None:
    spec = build_spec({**FILLED, "method": {"kind": kind}, "training": {"max_length": 2048}})
    draft = Draft.of(spec, "the advice")
    assert draft.spec == spec
    assert draft.values["method"] == {"kind": kind}
    assert draft.values["training"] == {"max_length": 2048}
    assert draft.changes == ()
