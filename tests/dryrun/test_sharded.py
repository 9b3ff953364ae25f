"""FSDP2 on meta: its own code shares a model out, and the closed form follows it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from tui_ft.dryrun.replay import replay
from tui_ft.memory.estimate import Sharding
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.moments import moments_of
from tui_ft.memory.estimate.sharding import computed_step
from tui_ft.memory.sharding import can_be_replayed
from tui_ft.memory.step import Quantization, Step

CONFIG: Final[dict[str, Any]] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
LORA: Final = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
FULL: Final = Step(
    config=CONFIG,
    batch=2,
    length=512,
    weights="float32",
    arithmetic="bfloat16",
    checkpointing=True,
    optim="adamw_torch_fused",
)
ADAPTED: Final = msgspec.structs.replace(FULL, weights="bfloat16", adapter=LORA)


def test_each_gpu_holds_its_share_of_weights_and_states() -> None:
    alone = replay(FULL)
    shared = replay(FULL, sharding=Sharding(kind="fsdp", gpus=4))
    workspace = int(FULL.workspace_mib * 2**20)
    held = shared.held_between_steps - workspace
    assert held == pytest.approx(
        (alone.held_between_steps - workspace) / 4, rel=0.03
    )  # blocks are rounded up
    assert shared.allocated < alone.allocated
    assert shared.parameters == alone.parameters


def test_gradients_of_several_passes_are_shared_out_after_each() -> None:
    sharding = Sharding(kind="fsdp", gpus=4)
    once = replay(FULL, sharding=sharding)
    passes = replay(msgspec.structs.replace(FULL, accumulation=True), sharding=sharding)
    more = passes.allocated - once.allocated
    assert 0 < more <= 1.02 * 4 * once.parameters / 4  # not whole: a share, in float32


def test_an_adapter_beside_a_head_of_its_own_can_be_accumulated() -> None:
    found = replay(
        msgspec.structs.replace(ADAPTED, accumulation=True),
        sharding=Sharding(kind="fsdp", gpus=2),
    )
    assert found.allocated > 0


@pytest.mark.parametrize("step", [FULL, ADAPTED], ids=["full", "lora"])
@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied"])
def test_the_closed_form_is_within_a_tenth(step: Step, tied: bool) -> None:
    step = msgspec.structs.replace(step, config={**CONFIG, "tie_word_embeddings": tied})
    for gpus in (2, 8):
        sharding = Sharding(kind="fsdp", gpus=gpus)
        dry = replay(step, sharding=sharding)
        computed = model_of(computed_step(step, sharding))
        closed = max(one.total for one in moments_of(computed, sharding, model_of(step)))
        assert closed == pytest.approx(dry.allocated, rel=0.10), (gpus, dry.stage, dry.by_kind)


@pytest.mark.parametrize("step", [FULL, ADAPTED], ids=["full", "lora"])
def test_without_wrapping_all_is_gathered_and_reduced_at_once(step: Step) -> None:
    sharding = Sharding(kind="fsdp", gpus=8, wraps=False)
    dry = replay(step, sharding=sharding)
    computed = model_of(computed_step(step, sharding))
    closed = max(one.total for one in moments_of(computed, sharding, model_of(step)))
    assert closed == pytest.approx(dry.allocated, rel=0.15), (dry.stage, dry.by_kind)


def test_a_base_in_4_bits_is_shared_out_as_numbers_of_the_arithmetics_type() -> None:
    """bitsandbytes' packed weights in bfloat16's storage, which `fully_shard` takes."""
    step = msgspec.structs.replace(
        ADAPTED, quantization=Quantization(), adapter_dtype="bfloat16", checkpointing=True
    )
    sharding = Sharding(kind="fsdp", gpus=4)
    alone, shared = replay(step), replay(step, sharding=sharding)
    assert can_be_replayed(step, sharding)
    assert shared.parameters == alone.parameters
    assert shared.by_kind["weights"] < alone.by_kind["weights"]
    assert shared.allocated == pytest.approx(_closed(step, sharding), rel=0.03)
    eight = msgspec.structs.replace(step, quantization=Quantization(bits=8))
    assert not can_be_replayed(eight, sharding)


@pytest.mark.parametrize("gpus", [2, 8])
def test_all_weights_with_a_head_of_its_own_are_followed_to_two_percent(gpus: int) -> None:
    sharding = Sharding(kind="fsdp", gpus=gpus)
    assert replay(FULL, sharding=sharding).allocated == pytest.approx(
        _closed(FULL, sharding), rel=0.02
    )


def _closed(step: Step, sharding: Sharding) -> int:
    computed = model_of(computed_step(step, sharding))
    return max(moment.total for moment in moments_of(computed, sharding, model_of(step)))
