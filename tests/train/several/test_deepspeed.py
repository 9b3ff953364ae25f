"""DeepSpeed, where it is installed: its configuration, and two processes against one on the CPU.

`DS_BUILD_OPS=0 pip install deepspeed`; its accelerator is the CPU where torch has no CUDA, or by
`DS_ACCELERATOR=cpu`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
import safetensors.torch
import torch

from tests.tiny_model import write_rows
from tests.train.running import run_worker
from tests.train.several.test_several import (
    FULL,
    LORA,
    STEPS,
    Spread,
    rows_of_many_lengths,
    spread_spec,
)
from tests.train.several.two_ranks import Told, TwoRanks, prepare, train
from tui_ft.spec.distributed import DeepSpeedStrategy
from tui_ft.train.errors import RunFailure
from tui_ft.train.several.spread import trainer_arguments
from tui_ft.train.several.together import Ranks

os.environ.setdefault("DS_ACCELERATOR", "cpu")


def _config(**strategy: Any) -> dict[str, Any]:
    pytest.importorskip("deepspeed")
    ranks = Ranks(0, 2, DeepSpeedStrategy(**strategy))
    made: dict[str, Any] = trainer_arguments(ranks)["deepspeed"]
    return made


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("offload", ["none", "cpu"])
def test_its_own_configuration_takes_what_is_written(
    tmp_path: Path, stage: int, offload: str
) -> None:
    made = _config(zero_stage=stage, offload_optimizer_device=offload)
    deepspeed: Any = pytest.importorskip("deepspeed.runtime.config")
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig
    from trl import SFTConfig

    arguments = SFTConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=3,
        gradient_accumulation_steps=5,
        max_grad_norm=0.7,
        use_cpu=True,
        bf16=True,
    )
    resolved = HfTrainerDeepSpeedConfig(made)
    resolved.trainer_config_process(arguments)
    resolved.trainer_config_finalize(arguments, None, 10)
    assert resolved.mismatches == []
    own = deepspeed.DeepSpeedConfig(resolved.config)
    assert own.zero_config.stage == stage
    assert own.zero_optimization_stage == stage
    assert (own.train_micro_batch_size_per_gpu, own.gradient_accumulation_steps) == (3, 5)
    assert own.gradient_clipping == 0.7
    assert own.bfloat16_config.enabled
    assert not own.float16_config.enabled
    device = own.zero_config.offload_optimizer
    assert (device is not None and device.device == "cpu") is (offload == "cpu")
    assert own.zero_config.gather_16bit_weights_on_model_save


def test_an_argument_that_its_plugin_does_not_take_is_told() -> None:
    pytest.importorskip("deepspeed")
    with pytest.raises(RunFailure, match="no such argument"):
        _config(extra={"zero3_init_flagg": True})


SAME: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "1 full": (1, FULL),
    "3 full": (3, FULL),
    "2 lora": (2, LORA),
}
"""Name -> ZeRO's stage and what is trained."""


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Spread:
    pytest.importorskip("deepspeed")
    folder = tmp_path_factory.mktemp("zero")
    write_rows(folder / "rows.jsonl", rows_of_many_lengths(120))
    more = {"load_best_model_at_end": False}
    one = {}
    said: dict[str, tuple[Told, Told]] = {}
    for name, (stage, method) in SAME.items():
        alone = spread_spec(folder, tiny_llama, None, method, **more)
        one[name] = run_worker(alone, folder / f"one {name}")
        how = {"kind": "deepspeed", "zero_stage": stage}
        spec = spread_spec(folder, tiny_llama, how, method, **more)
        whole, halves = prepare(spec, folder / name), prepare(spec, folder / f"{name} halves")
        # Processes of their own, as for a run: transformers would load for the stage before.
        trained = train([TwoRanks(whole), TwoRanks(halves, stop_at=2), TwoRanks(halves)])
        named = (name, f"{name} stopped", f"{name} resumed")
        said |= dict(zip(named, trained, strict=True))
    return Spread(folder, said, one)


@pytest.mark.parametrize("name", SAME)
def test_the_losses_and_the_weights_are_those_of_one_process(zero: Spread, name: str) -> None:
    first, alone = zero.said[name][0], zero.one[name]
    assert first.ended.state == "finished", first.ended
    assert len(first.losses) == STEPS
    assert first.losses == pytest.approx(alone.losses, abs=2e-5)
    ours, theirs = zero.output(name), alone.folder.output_dir()
    assert {p.name for p in ours.iterdir()} == {p.name for p in theirs.iterdir()}
    (file,) = [p.name for p in theirs.glob("*.safetensors")]
    mine, other = (safetensors.torch.load_file(folder / file) for folder in (ours, theirs))
    assert mine.keys() == other.keys()
    for key, weight in mine.items():
        torch.testing.assert_close(weight, other[key], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", SAME)
def test_stopped_and_resumed_they_follow_the_same_curve(zero: Spread, name: str) -> None:
    whole, stopped, resumed = (
        zero.said[f"{name}{part}"][0] for part in ("", " stopped", " resumed")
    )
    assert (stopped.ended.state, resumed.ended.state) == ("stopped", "finished")
    together = [*stopped.losses, *resumed.losses]
    assert together == pytest.approx(whole.losses, abs=1e-6)
