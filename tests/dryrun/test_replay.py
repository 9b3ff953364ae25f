"""What the replay of a step says, against what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.memory.models import LLAMA_8B, LORA, TINY
from tui_ft.dryrun.model import UnbuildableError
from tui_ft.dryrun.replay import replay
from tui_ft.memory.allocator import GIB, MIB
from tui_ft.memory.step import Quantization, Step

BIG: dict[str, Any] = {"config": LLAMA_8B, "batch": 4, "length": 2048, "optim": "adamw_torch_fused"}
SMALL: dict[str, Any] = {"config": TINY, "batch": 4, "length": 256, "optim": "adamw_torch_fused"}


@pytest.mark.parametrize(
    ("step", "allocated", "reserved"),
    [
        (Step(**BIG, adapter=LORA, checkpointing=True), 20.5, 21.4),
        (Step(**BIG, adapter=LORA, checkpointing=True, objective="causal_lm"), 29.3, 33.1),
        (Step(**BIG, checkpointing=True), 60.7, 62.1),
        (
            Step(
                **BIG,
                adapter=LORA,
                checkpointing=True,
                quantization=Quantization(),
                adapter_dtype="bfloat16",
            ),
            9.5,
            10.3,
        ),
    ],
)
def test_llama_8b_by_method(step: Step, allocated: float, reserved: float) -> None:
    """The figures of an independent prototype, to a tenth of a GiB or so."""
    found = replay(step)
    assert found.allocated / GIB == pytest.approx(allocated, abs=0.15)
    assert found.reserved / GIB == pytest.approx(reserved, abs=0.15)


def test_parameters_are_counted_also_where_they_are_packed() -> None:
    found = replay(Step(**SMALL, adapter=LORA, quantization=Quantization()))
    whole = replay(Step(**SMALL, adapter=LORA))
    assert found.parameters == whole.parameters
    # r (in + out) of seven linear layers, four times
    by_layer = 2 * (256 + 256) + 2 * (256 + 128) + 3 * (256 + 688)
    assert found.trainable_parameters == whole.trainable_parameters == 16 * 4 * by_layer


def test_8_bit_weights_take_half_of_16_bit_ones() -> None:
    halves = replay(Step(**SMALL, adapter=LORA))
    eighths = replay(Step(**SMALL, adapter=LORA, quantization=Quantization(bits=8)))
    linear = 4 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 688)
    saved = halves.by_kind["weights"] - eighths.by_kind["weights"]
    assert saved == pytest.approx(linear, rel=0.02)


def test_checkpointing_takes_less_and_gradients_in_wait_take_more() -> None:
    plain = replay(Step(**SMALL))
    assert replay(Step(**SMALL, checkpointing=True)).allocated < plain.allocated
    waiting = replay(Step(**SMALL, accumulation=True))
    assert waiting.allocated - plain.allocated > 2 * MIB


def test_only_supervised_tokens_are_scored() -> None:
    step: dict[str, Any] = {
        "config": {**TINY, "vocab_size": 65_536},
        "batch": 1,
        "length": 513,
        "adapter": LORA,
        "checkpointing": True,
    }
    everything = replay(Step(**step))
    tenth = replay(Step(**step, supervised=0.1))
    tile = 2 * 512 * 32_768  # bytes of a tile of logits in bfloat16
    # Below nine tenths, for with a small tile something else is the most.
    assert 0.6 * tile < everything.allocated - tenth.allocated < 0.92 * tile


def test_padding_brings_a_mask_and_keys_of_every_head() -> None:
    even, padded = replay(Step(**SMALL)), replay(Step(**SMALL, padded=True))
    assert padded.allocated > even.allocated


def test_autocast_over_float32_weights_keeps_copies_of_them() -> None:
    without = replay(Step(**SMALL, weights="float32"))
    cast = replay(Step(**SMALL, weights="float32", arithmetic="bfloat16"))
    assert cast.by_kind["weights"] == without.by_kind["weights"]
    assert cast.by_kind["activations"] < without.by_kind["activations"]


@pytest.mark.parametrize("kind", ["IA3", "PROMPT_TUNING", "PREFIX_TUNING", "LOHA", "LOKR"])
def test_adapters_of_other_kinds(kind: str) -> None:
    more: dict[str, Any] = {} if kind == "IA3" else {"num_virtual_tokens": 8}
    if kind.startswith("LO"):
        more = {"target_modules": ["q_proj", "v_proj"]}
    found = replay(Step(**SMALL, adapter={"peft_type": kind, **more}))
    assert 0 < found.trainable_parameters < found.parameters / 10
    assert found.by_kind["optimizer"] >= 8 * found.trainable_parameters


@pytest.mark.parametrize(
    ("kind", "more", "trained"),
    [
        ("BOFT", {}, None),
        ("FROD", {}, None),
        ("SHIRA", {"r": 8}, 4 * 8 * ((256 + 256) + (256 + 128))),
        ("WAVEFT", {"n_frequency": 100}, 2 * 4 * 100),
        ("UNILORA", {"r": 8}, 256),
        ("LORA", {"r": 8, "kasa_config": {"beta": 1e-4, "gamma": 1e-3}}, None),
    ],
)
def test_adapters_that_compute_on_weights(
    kind: str, more: dict[str, Any], trained: int | None
) -> None:
    adapter = {"peft_type": kind, "target_modules": ["q_proj", "v_proj"], **more}
    found = replay(Step(**SMALL, adapter=adapter))
    assert 0 < found.trainable_parameters < found.parameters / 10
    assert trained in (None, found.trainable_parameters)


def test_a_cache_of_keys_and_values_is_held_with_the_outputs() -> None:
    loop: dict[str, Any] = {**SMALL, "objective": "causal_lm", "holds_outputs": True}
    without, cached = replay(Step(**loop)), replay(Step(**loop, cache=True))
    held = cached.held_between_steps - without.held_between_steps
    assert held == 2 * 4 * 4 * 256 * 128 * 2  # keys and values, layers, rows, tokens, 4 x 32, bytes


def test_a_reference_model_is_held_beside_the_trained_one() -> None:
    alone = replay(Step(**SMALL, objective="dpo", adapter=LORA))
    both = replay(Step(**SMALL, objective="dpo", adapter=LORA, reference_model=True))
    weights = 2 * (alone.parameters - alone.trainable_parameters)
    assert both.by_kind["weights"] - alone.by_kind["weights"] == pytest.approx(weights, rel=0.01)


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(UnbuildableError, match="Target modules"):
        replay(Step(**SMALL, adapter={"peft_type": "LORA", "target_modules": ["nothing"]}))


def test_the_timeline_ends_low_and_holds_the_peak() -> None:
    found = replay(Step(**SMALL))
    sizes = [moment.allocated for moment in found.timeline]
    assert 10 < len(sizes) <= 400
    assert max(sizes) == pytest.approx(found.allocated, rel=0.01)
    assert found.timeline[0].stage == "forward"
    assert {m.stage for m in found.timeline} == {"forward", "backward", "optimizer"}
