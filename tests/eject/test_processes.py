"""How a script is started on several GPUs; accelerate reads the file that lies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import text_rows, write_rows
from tests.train.running import make_spec
from tui_ft.eject import axolotl_config, eject
from tui_ft.eject.processes import accelerate_config, command_of
from tui_ft.spec import build_spec


def spec_on(**hardware: Any) -> Any:
    given = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}
    return build_spec({**given, "hardware": hardware})


@pytest.mark.parametrize(
    ("hardware", "command"),
    [
        ({}, "python train.py"),
        ({"gpus": [3]}, "python train.py"),
        ({"gpus": [0, 2]},
         "CUDA_VISIBLE_DEVICES=0,2 torchrun --standalone --nproc_per_node 2 train.py"),
        ({"num_gpus": 8, "distributed": {"kind": "ddp"}},
         "torchrun --standalone --nproc_per_node 8 train.py"),
        ({"num_gpus": 8, "distributed": {"kind": "fsdp"}},
         "accelerate launch --config_file accelerate.yaml train.py"),
        ({"distributed": {"kind": "deepspeed"}},
         "accelerate launch --config_file accelerate.yaml "
         "--num_processes $(nvidia-smi -L | wc -l) train.py"),
        ({"gpus": "none", "cpu_processes": 2}, "torchrun --standalone --nproc_per_node 2 train.py"),
    ],
)  # fmt: skip
def test_the_command_that_starts_it(hardware: dict[str, Any], command: str) -> None:
    assert command_of(spec_on(**hardware)) == command


def test_accelerate_reads_what_is_written(tmp_path: Path, tiny_llama: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    fsdp = {"kind": "fsdp", "reshard_after_forward": False, "cpu_offload": True,
            "transformer_cls_names_to_wrap": ["LlamaDecoderLayer"]}  # fmt: skip
    spec = make_spec(
        tmp_path, tiny_llama, hardware={"gpus": "auto", "num_gpus": 4, "distributed": fsdp}
    )
    done = eject(spec, "script", tmp_path / "out")
    text = (tmp_path / "out" / "train.py").read_text()
    assert done.command in text
    # As in a run: gradients are shared out after each pass, not held whole until the last.
    kwargs = "{'gradient_accumulation_kwargs': {'sync_each_batch': True}}"
    assert f"accelerator_config={kwargs}" in text.replace('"', "'")
    axolotl = axolotl_config(spec, "messages", rows=10, evaluates=False).values
    assert repr(axolotl["accelerator_config"]) == kwargs
    config: Any = load_config_from_file(str(tmp_path / "out" / "accelerate.yaml"))
    assert (config.distributed_type, config.num_processes) == ("FSDP", 4)
    assert config.fsdp_config["fsdp_version"] == 2
    assert config.fsdp_config["fsdp_reshard_after_forward"] is False
    assert config.fsdp_config["fsdp_offload_params"] is True
    assert config.fsdp_config["fsdp_auto_wrap_policy"] == "TRANSFORMER_BASED_WRAP"
    assert config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] == "LlamaDecoderLayer"


def test_zero_is_said_in_accelerates_words() -> None:
    zero = {"kind": "deepspeed", "zero_stage": 2, "offload_optimizer_device": "cpu"}
    config = accelerate_config(spec_on(num_gpus=2, distributed=zero))
    assert config is not None
    assert config["distributed_type"] == "DEEPSPEED"
    assert config["deepspeed_config"]["zero_stage"] == 2
    assert config["deepspeed_config"]["offload_optimizer_device"] == "cpu"
    assert accelerate_config(spec_on(num_gpus=2, distributed={"kind": "ddp"})) is None


def test_what_is_not_carried_is_said(tmp_path: Path, tiny_llama: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", text_rows(20))
    others = write_rows(tmp_path / "others.jsonl", text_rows(10, seed=1))
    data = {"mix": {"train": str(others), "weight": 0.25}}
    spec = make_spec(tmp_path, tiny_llama, data=data, objective={"kind": "pretraining"})
    done = eject(spec, "script", tmp_path / "out")
    (said,) = (one for one in done.left_out if one.startswith("data.mix"))
    assert "25% of the tokens" in said
