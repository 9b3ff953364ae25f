"""What does not fit the GPUs may fit the host's memory: said with how much, and how slow."""

from __future__ import annotations

import msgspec
import pytest

from tests.advise.given import CONFIGS, situation_of
from tui_ft.advise.advice import Advice, Candidate
from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.facts import asked_gpus
from tui_ft.advise.situation import GpuFacts, Known
from tui_ft.advise.tree import advise
from tui_ft.advise.ways import WAYS
from tui_ft.memory.allocator import GIB
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step
from tui_ft.plan.estimator import estimator

LARGE = {"goal": "instruction", "model": "llama-70b", "data": "answers-5k"}
H100 = GpuFacts(index=0, name="NVIDIA H100 80GB HBM3")


def _advise(gpus: str, host: int | None, **answers: str) -> Advice:
    situation = situation_of({**LARGE, "gpus": gpus})
    known = None if host is None else Known(host * GIB, "measured")
    cards = Known(asked_gpus(gpus), "asked")
    situation = msgspec.structs.replace(situation, host_memory=known, gpus=cards)
    return advise(situation, answers, estimator=estimator())


def _row(advice: Advice, way: str) -> Candidate:
    return next(one for one in advice.candidates if one.way == way)


def test_all_weights_of_a_large_model_on_one_node_come_with_how_slow_it_is() -> None:
    advice = _advise("8x80", 2000, capacity="all")
    moved, taken = _row(advice, "full_offload"), next(c for c in advice.candidates if c.chosen)
    assert (moved.fit, taken.way) == ("fits", "lora_fsdp")
    assert moved.host == pytest.approx(16 * 70.55e9, rel=0.01)
    assert moved.host_free == 2000 * GIB
    assert moved.seconds is not None
    assert taken.seconds is not None
    assert moved.seconds > 1.5 * taken.seconds
    assert "1.03 TiB of the host's memory, of 1.95 TiB available; slow: " in moved.why_not
    assert "lora_offload" not in {one.way for one in advice.candidates}  # it fits without


def test_a_host_without_the_memory_is_told_what_it_takes() -> None:
    moved = _row(_advise("8x80", 500, capacity="all"), "full_offload")
    assert moved.fit == "no"
    assert moved.why_not == "needs 1.03 TiB of the host's memory, of 500 GiB available"


def test_the_run_that_was_chosen_says_where_its_weights_lie() -> None:
    advice = _advise("8x80", 2000, method="full_offload")
    assert advice.run is not None
    spread = advice.run.hardware.distributed
    assert spread is not None
    assert (spread.kind, spread.model_dump()["cpu_offload"]) == ("fsdp", True)


def test_nothing_else_fits_two_small_cards() -> None:
    unsaid, said, short = (_advise("2x24", host) for host in (None, 512, 64))
    for advice in (unsaid, said):
        assert advice.run is not None
        spread = advice.run.hardware.distributed
        assert spread is not None
        values = spread.model_dump()
        assert (values["kind"], values["zero_stage"]) == ("deepspeed", 3)
        assert values["offload_param_device"] == values["offload_optimizer_device"] == "cpu"
    assert _row(unsaid, "lora_offload").fit == "tight"
    assert any(
        caution.id == "host-memory" and "nobody said" in caution.text for caution in unsaid.cautions
    )
    assert "out-of-memory" not in {caution.id for caution in unsaid.cautions}
    assert _row(said, "lora_offload").fit == "fits"
    assert next(one.way for one in short.candidates if one.chosen) == "smaller"


def test_offload_waits_for_the_bus_and_for_the_hosts_memory() -> None:
    step = Step(config=CONFIGS["llama-8b"], batch=1, length=512, arithmetic="bfloat16")
    step = msgspec.structs.replace(step, optim="adamw_torch_fused", checkpointing=True)
    work = Work(step=step, passes=100, mean_length=512, gpu=H100, gpus=8, updates=50)
    moved = Sharding(kind="fsdp", gpus=8, offloads_states=True, offloads_weights=True)

    def seconds(spread: Sharding | None) -> float:
        found = estimator().seconds(msgspec.structs.replace(work, spread=spread))
        assert isinstance(found, Seconds)
        return found.expected

    assert seconds(Sharding(kind="fsdp", gpus=8)) == seconds(None)
    weights = 8.03e9
    # Twice the share of 4 bytes a weight to the GPU, once back as gradients, at 20 GB/s; 28 bytes
    # a weight through the host's memory at 100 GB/s.
    waited = 100 * 12 * weights / 8 / 20e9 + 50 * 28 * weights / 100e9
    assert seconds(moved) - seconds(None) == pytest.approx(waited, rel=0.01)


def test_only_what_is_spread_over_gpus_is_offloaded() -> None:
    assert all(way.shares for way in WAYS.values() if way.offloads)
    assert "full_offload" not in {one.way for one in _advise("80", 2000).candidates}
