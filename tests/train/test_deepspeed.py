"""DeepSpeed, where it is installed: what is written for it is what it and transformers take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tui_ft.spec.distributed import DeepSpeedStrategy
from tui_ft.train.errors import RunFailure
from tui_ft.train.spread import trainer_arguments
from tui_ft.train.together import Ranks

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
