"""What offload takes of the host follows DeepSpeed's own estimates and FSDP's code."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.memory.models import LLAMA_8B
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimate.offload import Host, host_of, loaded_in_host
from tui_ft.memory.figure import Figure
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Quantization, Step

LORA = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
FULL = Step(
    config=LLAMA_8B,
    batch=1,
    length=512,
    weights="float32",
    arithmetic="bfloat16",
    optim="adamw_torch_fused",
)
ADAPTER = Step(
    config=LLAMA_8B, batch=1, length=512, arithmetic="bfloat16", weights="bfloat16", adapter=LORA
)
PARAMETERS = 8_030_261_248
TRAINED = 41_943_040


def _moved(kind: Any, *, weights: bool = True) -> Sharding:
    return Sharding(kind=kind, gpus=4, offloads_states=True, offloads_weights=weights)


@pytest.mark.parametrize(
    ("step", "sharding", "held", "each_pass", "each_update"),
    [
        (FULL, _moved("fsdp"), 16, 12, 0),
        (FULL, _moved("zero3"), 18, 6, 2),
        (FULL, _moved("zero3", weights=False), 16, 2, 2),
        (FULL, _moved("zero2", weights=False), 16, 2, 2),
    ],
)
def test_bytes_of_each_weight(
    step: Step, sharding: Sharding, held: int, each_pass: int, each_update: int
) -> None:
    found = host_of(step, sharding)
    assert found.held == pytest.approx(held * PARAMETERS, rel=1e-3)
    assert found.each_pass == pytest.approx(each_pass * PARAMETERS / 4, rel=1e-3)
    assert found.each_update == pytest.approx(each_update * PARAMETERS / 4, rel=1e-3)
    assert found.updated == pytest.approx(PARAMETERS, rel=1e-3)


def test_an_adapter_moves_its_base_and_little_more() -> None:
    found = host_of(ADAPTER, _moved("zero3"))
    assert found.held == pytest.approx(2 * PARAMETERS + 18 * TRAINED, rel=1e-3)
    assert found.each_pass == pytest.approx((4 * PARAMETERS + 6 * TRAINED) / 4, rel=1e-3)
    assert found.updated == pytest.approx(TRAINED, rel=1e-3)


def test_nothing_is_in_the_host_of_what_stays_on_the_gpus() -> None:
    assert host_of(FULL, None) == host_of(FULL, Sharding(kind="fsdp", gpus=8)) == Host()


def test_who_reads_the_model_in_another_type_than_the_files_holds_copies() -> None:
    one = loaded_in_host(FULL, Sharding(kind="fsdp", gpus=8))
    assert one == pytest.approx(4 * PARAMETERS, rel=1e-3)
    assert loaded_in_host(FULL, None) == one
    kinds: tuple[Any, ...] = ("ddp", "zero2", "zero3")
    for kind in kinds:
        assert loaded_in_host(FULL, Sharding(kind=kind, gpus=8)) == 8 * one
    assert loaded_in_host(FULL, Sharding(kind="fsdp", gpus=8, loads_once=False)) == 8 * one
    # Mapped: the file is in bfloat16.
    assert loaded_in_host(ADAPTER, Sharding(kind="zero3", gpus=8)) == 0
    packed = msgspec.structs.replace(ADAPTER, quantization=Quantization())
    assert loaded_in_host(packed, Sharding(kind="ddp", gpus=8)) == 0
    shared = loaded_in_host(packed, Sharding(kind="fsdp", gpus=8))
    assert 0.5 * PARAMETERS < shared < PARAMETERS


@pytest.mark.parametrize("gpus", [4, 8])
def test_states_without_offload_are_those_of_deepspeeds_own_estimator(gpus: int) -> None:
    step = msgspec.structs.replace(FULL, checkpointing=True)
    figure = estimate(step, sharding=Sharding(kind="zero2", gpus=gpus))
    assert isinstance(figure, Figure)
    assert figure.stage == "optimizer"
    terms = {term.name: term.size for term in figure.terms}
    parts = ("weights", "float32 weights", "optimizer states", "exchange between GPUs")
    # `estimate_zero2_model_states_mem_needs`: 2 bytes of weights, and 18 that are shared out, of
    # which 4 are gradients in float32 that are there for the step alone.
    theirs = 2 * PARAMETERS + 18 * PARAMETERS / gpus
    assert sum(terms[name] for name in parts) + terms["gradients"] == pytest.approx(
        theirs, rel=2e-3
    )
