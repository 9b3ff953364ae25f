from __future__ import annotations

from typing import Any

import pytest

from tui_ft.spec import RunSpec, SpecError, build_spec
from tui_ft.spec.distributed import sharding_kind, strategy_name
from tui_ft.spec.draft import Draft

FILLED = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}


def on(**hardware: Any) -> RunSpec:
    return build_spec({**FILLED, "hardware": hardware})


def typed(draft: Draft, key: str, text: str) -> Draft:
    return draft.with_text(next(one for one in draft.fields if one.key == key), text)


def keys(draft: Draft) -> set[str]:
    return {one.key for one in draft.fields}


@pytest.mark.parametrize(
    ("hardware", "processes", "strategy"),
    [
        ({}, 1, None),
        ({"gpus": "none"}, 1, None),
        ({"gpus": [3]}, 1, None),
        ({"gpus": [0, 1]}, 2, "DDP"),
        ({"num_gpus": 4}, 4, "DDP"),
        ({"gpus": "none", "cpu_processes": 2}, 2, "DDP"),
        ({"gpus": [0, 1], "distributed": {"kind": "fsdp"}}, 2, "FSDP2"),
        ({"num_gpus": 8, "distributed": {"kind": "deepspeed"}}, 8, "DeepSpeed ZeRO-3"),
        ({"num_gpus": 2, "distributed": {"kind": "deepspeed", "zero_stage": 2}}, 2,
         "DeepSpeed ZeRO-2"),
    ],
)  # fmt: skip
def test_how_many_processes_train_and_how_they_share(
    hardware: dict[str, Any], processes: int, strategy: str | None
) -> None:
    spec = on(**hardware).hardware
    assert spec.processes == processes
    found = spec.strategy(processes)
    assert (None if found is None else strategy_name(found)) == strategy


def test_auto_takes_as_many_as_there_are_where_a_run_is_spread() -> None:
    spec = on(distributed={"kind": "fsdp"}).hardware
    assert spec.processes is None  # only the machine knows
    assert spec.processes_on(4) == 4
    assert on(gpus="none", cpu_processes=3).hardware.processes_on(0) == 3
    assert on().hardware.processes_on(0) == 1


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        ({"gpus": [0], "distributed": {"kind": "ddp"}}, "there is one"),
        ({"num_gpus": 1, "distributed": {"kind": "fsdp"}}, "there is one"),
        ({"gpus": "none", "distributed": {"kind": "fsdp"}}, "there is one"),
        ({"gpus": [0, 1], "num_gpus": 3}, "gpus names 2 and num_gpus says 3"),
        ({"gpus": "none", "num_gpus": 2}, "leave one of them out"),
        ({"cpu_processes": 2}, "set gpus to none"),
        ({"gpus": [0, 1], "distributed": {}}, "does not say its `kind`"),
        ({"gpus": [0, 1], "distributed": {"kind": "zero"}}, "unknown kind `zero`"),
        ({"gpus": [0, 1], "distributed": {"kind": "fsdp", "zero_stage": 2}}, "unknown key"),
        ({"gpus": [0, 1], "distributed": "fsdp"}, "a group of keys belongs here"),
        ({"gpus": [0, 1], "distributed": {"kind": "fsdp", "fsdp_version": 1}}, "is 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_words(hardware: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        on(**hardware)
    assert [said in str(problem) for problem in caught.value.problems] == [True], str(caught.value)
    assert caught.value.problems[0].key.startswith("hardware")


@pytest.mark.parametrize(
    ("distributed", "kind"),
    [({"kind": "ddp"}, "ddp"), ({"kind": "fsdp"}, "fsdp"), ({"kind": "deepspeed"}, "zero3"),
     ({"kind": "deepspeed", "zero_stage": 2}, "zero2"),
     ({"kind": "deepspeed", "zero_stage": 1}, "zero1")],
)  # fmt: skip
def test_what_of_a_run_is_shared_out(distributed: dict[str, Any], kind: str) -> None:
    strategy = on(num_gpus=2, distributed=distributed).hardware.strategy(2)
    assert strategy is not None
    assert sharding_kind(strategy) == kind


def test_in_a_form_it_is_none_until_it_is_chosen_and_can_be_none_again() -> None:
    empty = Draft.begin(FILLED, "sft-lora")
    chooser = next(one for one in empty.fields if one.key == "hardware.distributed.kind")
    assert chooser.choices == ("none", "ddp", "fsdp", "deepspeed")
    assert empty.text_of(chooser) == "none"
    assert "hardware.distributed.fsdp_version" not in keys(empty)
    chosen = typed(empty, "hardware.distributed.kind", "fsdp")
    chosen = typed(chosen, "hardware.distributed.cpu_offload", "true")
    assert chosen.spec is not None
    assert chosen.spec.hardware.distributed is not None
    assert "hardware.distributed.zero_stage" not in keys(chosen)
    other = typed(chosen, "hardware.distributed.kind", "deepspeed")
    assert other.spec is not None, other.problems
    assert "hardware.distributed.zero_stage" in keys(other)
    again = typed(other, "hardware.distributed.kind", "none")
    assert again.spec is not None
    assert again.spec.hardware.distributed is None
    assert again.changes == ()


@pytest.mark.parametrize("distributed", [None, {"kind": "fsdp", "cpu_offload": True}])
def test_as_a_draft_it_is_the_same_run(distributed: dict[str, Any] | None) -> None:
    spec = on(num_gpus=2, distributed=distributed)
    draft = Draft.of(spec, "advice")
    assert draft.spec == spec
    assert draft.with_yaml(draft.to_yaml()).spec == spec


def test_one_override_is_enough() -> None:
    spec = build_spec(FILLED, ["hardware.num_gpus=2", "hardware.distributed.kind=fsdp"])
    found = spec.hardware.strategy(2)
    assert found is not None
    assert strategy_name(found) == "FSDP2"
