"""The step that a RunSpec means is the one that the trainer makes."""

from __future__ import annotations

import pytest

from tests.memory.models import TINY
from tui_ft.memory.from_spec import not_modelled, step_of
from tui_ft.memory.step import Generation, Quantization, Step
from tui_ft.spec import build_spec


def _step(*settings: str, kind: str = "lora", **known: object) -> Step:
    values = {
        "model": {"name_or_path": "m"},
        "data": {"train": "d"},
        "method": {"kind": kind},
    }
    return step_of(build_spec(values, settings), TINY, **known)  # type: ignore[arg-type]


def test_lora_holds_a_frozen_base_in_the_type_of_the_arithmetic() -> None:
    step = _step()
    assert (step.weights, step.arithmetic, step.adapter_dtype) == (
        "bfloat16",
        "bfloat16",
        "float32",
    )
    assert step.adapter is not None
    assert step.adapter["r"] == 16
    assert step.quantization is None
    assert step.attention == "auto"


def test_full_fine_tuning_holds_float32_under_autocast() -> None:
    step = _step(kind="full")
    assert (step.weights, step.arithmetic, step.adapter) == ("float32", "bfloat16", None)
    assert _step("model.dtype=bfloat16", kind="full").weights == "bfloat16"


def test_cards_without_bfloat16_compute_in_float16() -> None:
    step = _step(capability=(7, 5))
    assert (step.weights, step.arithmetic) == ("float16", "float16")


def test_float32_needs_no_autocast() -> None:
    step = _step("training.precision=fp32")
    assert (step.weights, step.arithmetic) == ("float32", None)


def test_qlora_is_quantised_as_asked() -> None:
    step = _step("method.bnb_4bit_use_double_quant=false", kind="qlora")
    assert step.quantization == Quantization(bits=4, double=False)


@pytest.mark.parametrize(
    ("settings", "padded"),
    [
        ((), True),
        (("training.per_device_train_batch_size=1",), False),
        (("training.packing=true",), False),
    ],
)
def test_rows_of_a_batch_are_padded_unless_packed(settings: tuple[str, ...], padded: bool) -> None:
    assert _step(*settings).padded is padded


def test_rows_are_as_long_as_the_data_and_no_longer_than_allowed() -> None:
    assert _step("training.max_length=512").length == 512
    assert _step("training.max_length=512", longest=200).length == 200
    assert _step("training.max_length=512", longest=900).length == 512
    assert _step("training.max_length=512", "training.packing=true", longest=200).length == 512


def test_gradients_wait_where_they_are_accumulated() -> None:
    assert not _step().accumulation
    assert _step("training.gradient_accumulation_steps=4").accumulation


def test_hopper_takes_a_larger_workspace() -> None:
    assert _step(capability=(9, 0)).workspace_mib == 32
    assert _step(capability=(8, 9)).workspace_mib == 8.125


def test_an_evaluation_counts_where_it_has_more_rows_than_a_step() -> None:
    assert _step().evaluation_batch == 0
    more = ("training.per_device_train_batch_size=2", "training.per_device_eval_batch_size=8")
    assert _step(*more).evaluation_batch == 8
    last = (*more, "training.eval_steps=null")  # once, at the end
    assert _step(*last).evaluation_batch == 8
    assert _step(*last, "data.eval_fraction=0").evaluation_batch == 0


def test_graded_answers_are_generated_after_the_longest_prompt() -> None:
    assert _step().generation is None
    graded = _step("evaluation.score={rows: 4, max_new_tokens: 30}", longest=100)
    assert graded.generation == Generation(rows=4, prompt=100, new=30)


def test_what_no_figure_knows_of_is_said() -> None:
    values = {"model": {"name_or_path": "m"}, "data": {"train": "d"}}
    assert not_modelled(build_spec(values)) == ()
    (said,) = not_modelled(build_spec(values, ("training.extra.torch_compile=true",)))
    assert said.startswith("torch.compile is not modelled")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pretraining", "sft"),
        ("dpo", "dpo"),
        ("kto", "kto"),
        ("orpo", "orpo"),
        ("cpo", "cpo"),
        ("reward", "reward"),
        ("classification", "classification"),
    ],
)
def test_the_objective_of_the_run_is_that_of_its_step(kind: str, expected: str) -> None:
    assert _step(f"objective.kind={kind}").objective == expected


_REWARD = "objective.rewards=[{kind: length, most: 100}]"
_SCORED = "objective.rewards=[{kind: reward_model, model: m}]"


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_answers_of_a_whole_step_are_generated_at_once(kind: str) -> None:
    step = _step(
        f"objective.kind={kind}",
        _REWARD,
        "objective.max_completion_length=200",
        "objective.beta=0.1",
        "training.max_length=512",
        "training.per_device_train_batch_size=4",
        "training.gradient_accumulation_steps=2",
    )
    assert (step.objective, step.length, step.beta) == (kind, 512, 0.1)
    assert step.generation == Generation(rows=8, prompt=312, new=200)
    assert not step.holds_reference
    assert not step.reward_model


def test_a_known_longest_prompt_shortens_the_rows_that_are_generated() -> None:
    settings = ("objective.kind=grpo", _REWARD, "objective.max_completion_length=200")
    step = _step(*settings, "training.max_length=512", longest=100)
    assert step.length == 300
    assert step.generation is not None
    assert step.generation.prompt == 100


def test_ppo_generates_a_rollout_in_parts_and_holds_what_scores_it() -> None:
    settings = (
        "objective.kind=ppo",
        _SCORED,
        "objective.max_completion_length=200",
        "objective.num_mini_batches=4",
        "objective.local_rollout_forward_batch_size=12",
        "training.max_length=512",
        "training.per_device_train_batch_size=2",
        "training.gradient_accumulation_steps=2",
    )
    step = _step(*settings)
    assert step.generation == Generation(rows=12, prompt=312, new=200)
    assert step.reward_model
    assert not step.holds_reference
    assert _step(*settings, kind="full").holds_reference
    assert step.share_with_loss == pytest.approx(200 / 512)


def test_adapters_of_every_method_are_those_that_peft_makes() -> None:
    kinds = {
        "ia3": "IA3",
        "ln_tuning": "LN_TUNING",
        "prompt_tuning": "PROMPT_TUNING",
        "prefix_tuning": "PREFIX_TUNING",
        "p_tuning": "P_TUNING",
    }
    for kind, expected in kinds.items():
        adapter = _step(f"method.kind={kind}").adapter
        assert adapter is not None
        assert adapter["peft_type"] == expected
    assert _step("method.kind=freeze").adapter is None
    eight = _step("method.kind=qlora", "method.bits=8").quantization
    assert eight is not None
    assert eight.bits == 8
