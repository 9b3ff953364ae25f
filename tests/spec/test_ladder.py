"""The ladder of a run that has no memory left: which step comes next, and what stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.spec import RunSpec, build_spec
from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.ladder import Rung, Stage, climbed, next_rung, smaller_batch, with_changes

ALL = {"min_max_length": 300, "qlora": True}


def _run(ladder: dict[str, Any] | None = None, **groups: Any) -> RunSpec:
    training = {"max_length": 1000, "gradient_checkpointing": False, **groups.pop("training", {})}
    return build_spec(
        {
            "model": {"name_or_path": "m"},
            "data": {"train": "d.jsonl"},
            "training": {**training, "on_out_of_memory": {} if ladder is None else ladder},
            **groups,
        }
    )


def _all_rungs(spec: RunSpec, stage: Stage = "train") -> list[Rung]:
    found: list[Rung] = []
    while rung := next_rung(spec, stage):
        found.append(rung)
        spec = with_changes(spec, rung.changes)
    return found


def test_the_steps_come_in_their_order_and_come_to_an_end() -> None:
    rungs = _all_rungs(_run(ALL))
    assert [rung.words for rung in rungs] == [
        "micro-batch 2, accumulation 2",
        "micro-batch 1, accumulation 4",
        "gradient checkpointing on",
        "max_length 500",
        "max_length 300",
        "qlora",
    ]
    assert [rung.begins_anew for rung in rungs] == [False] * 3 + [True] * 3


def test_nothing_is_cut_or_quantised_unless_it_is_allowed() -> None:
    last = _all_rungs(_run())[-1]
    assert last.words == "gradient checkpointing on"
    assert (
        next_rung(build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d"}}), "train")
        is None
    )


@given(st.integers(2, 512), st.integers(1, 64))
def test_the_rows_of_a_step_stay_the_same_whatever_the_batch(batch: int, accumulation: int) -> None:
    found = smaller_batch(batch, accumulation)
    assert found is not None
    assert found[0] * found[1] == batch * accumulation
    assert 1 <= found[0] <= batch / 2
    assert smaller_batch(1, accumulation) is None


@pytest.mark.parametrize(
    ("now", "then"), [((8, 1), (4, 2)), ((3, 1), (1, 3)), ((5, 2), (2, 5)), ((9, 1), (3, 3))]
)
def test_odd_batches_go_to_the_next_divisor(now: tuple[int, int], then: tuple[int, int]) -> None:
    assert smaller_batch(*now) == then


def test_kto_keeps_the_company_that_its_loss_needs() -> None:
    kto = _run(objective={"kind": "kto"}, training={"per_device_train_batch_size": 8})
    batches = [
        rung.changes["training.per_device_train_batch_size"]
        for rung in _all_rungs(kto)
        if "training.per_device_train_batch_size" in rung.changes
    ]
    assert batches == [4, 2]
    for rung in _all_rungs(kto):
        kto = with_changes(kto, rung.changes)
        assert impossible(kto) == ()


def test_each_stage_frees_what_it_holds() -> None:
    values = {"evaluation": {"score": {"batch_size": 4}}}
    evaluating = [rung.changes for rung in _all_rungs(_run(**values), "evaluate")]
    assert evaluating == [
        {"training.per_device_eval_batch_size": 2},
        {"training.per_device_eval_batch_size": 1},
    ]
    grading = [rung.changes for rung in _all_rungs(_run(**values), "score")]
    assert grading == [{"evaluation.score.batch_size": 2}, {"evaluation.score.batch_size": 1}]
    assert [rung.words for rung in _all_rungs(_run(ALL), "load")] == ["qlora"]
    assert _all_rungs(_run(), "load") == []


def test_checkpointing_is_no_step_where_it_cannot_be() -> None:
    prefix = _run(method={"kind": "prefix_tuning"}, training={"per_device_train_batch_size": 1})
    assert _all_rungs(prefix) == []
    assert _all_rungs(_run({"gradient_checkpointing": False, "smaller_batches": False})) == []


def test_qlora_keeps_the_adapter_as_it_was_asked_for() -> None:
    spec = _run({"qlora": True}, method={"kind": "lora", "r": 5, "lora_dropout": 0.25})
    changed = climbed(spec, _all_rungs(spec))
    assert changed.method.model_dump(include={"kind", "r", "lora_dropout"}) == {
        "kind": "qlora",
        "r": 5,
        "lora_dropout": 0.25,
    }
    pissa = _run({"qlora": True}, method={"kind": "lora", "init_lora_weights": "pissa"})
    assert "qlora" not in [rung.words for rung in _all_rungs(pissa)]


def test_what_a_person_changed_since_is_left_alone() -> None:
    spec = _run()
    rungs = _all_rungs(spec)
    assert climbed(spec, rungs).training.per_device_train_batch_size == 1
    edited = with_changes(spec, {"training.per_device_train_batch_size": 3})
    after = climbed(edited, rungs).training
    assert (after.per_device_train_batch_size, after.gradient_accumulation_steps) == (3, 1)
    assert after.gradient_checkpointing
