"""The dry run against real training on the CPU, through the real trainers, under torch's profiler.

What is held when is the same on every device: kernels and the allocator are CUDA's own and are
tested elsewhere. The promise is half a per cent; it comes out below a tenth.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from datasets import Dataset
from torch.profiler import ProfilerActivity, profile
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    Trainer,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

from tests.memory.models import TINY
from tests.tiny_model import make_tiny_llama
from tui_ft.dryrun.replay import replay
from tui_ft.memory.step import Step, StepObjective

ROWS = 4
LENGTH = 128
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(make_tiny_llama(tmp_path_factory.mktemp("tiny")))


def _peak(train: Callable[[], object]) -> int:
    """Return the most bytes that were allocated beyond what was there, while ``train`` ran."""
    gc.collect()  # what earlier tests left behind would count as given back in this one
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        train()
    events = profiled.profiler.kineto_results.events()
    moments = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = most = 0
    for _, change in moments:
        held += change
        most = max(most, held)
    return most


def _size(model: torch.nn.Module) -> int:
    storages = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for tensor in (*model.parameters(), *model.buffers())
    }
    return sum(storages.values())


def _model(kind: str, folder: Path) -> Any:
    config = LlamaConfig(**{k: v for k, v in TINY.items() if k not in ("model_type",)})
    config.use_cache = False
    if kind in ("sft", "dpo"):
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        return AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        )
    config.num_labels = 1 if kind == "reward" else 2
    return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")


def _trainer(kind: str, folder: Path, tokenizer: Any, lora: bool, checkpointing: bool) -> Any:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": ROWS,
        "max_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "bf16": False,
        "gradient_checkpointing": checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "optim": "adamw_torch",
        "dataloader_pin_memory": False,
    }
    task = "CAUSAL_LM" if kind in ("sft", "dpo") else "SEQ_CLS"
    plain = {name: value for name, value in LORA.items() if name != "peft_type"}
    adapter = peft.LoraConfig(task_type=task, **plain) if lora else None
    model = _model(kind, folder)
    shared = {"processing_class": tokenizer, "peft_config": adapter, "model": model}
    match kind:
        case "sft":
            rows = [{"input_ids": [5] * LENGTH, "labels": [5] * LENGTH}] * 8
            config = SFTConfig(max_length=LENGTH, **arguments)
            return SFTTrainer(args=config, train_dataset=Dataset.from_list(rows), **shared)
        case "dpo":
            pair = {"prompt": "alice " * 30, "chosen": "bob apple " * 30}
            pairs = [{**pair, "rejected": pair["chosen"]}] * 8
            settings = DPOConfig(max_length=LENGTH, **arguments)
            return DPOTrainer(args=settings, train_dataset=Dataset.from_list(pairs), **shared)
        case "reward":
            scored = [{"chosen_ids": [6] * LENGTH, "rejected_ids": [7] * LENGTH}] * 8
            reward = RewardConfig(max_length=LENGTH, **arguments)
            return RewardTrainer(args=reward, train_dataset=Dataset.from_list(scored), **shared)
    labelled = [{"input_ids": [5] * LENGTH, "attention_mask": [1] * LENGTH, "labels": 1}] * 8
    return Trainer(
        model=peft.get_peft_model(model, adapter) if adapter else model,
        args=TrainingArguments(**arguments),
        train_dataset=Dataset.from_list(labelled),
    )


def _length(kind: str, trainer: Any) -> int:
    if kind != "dpo":
        return LENGTH
    row = trainer.train_dataset[0]
    return len(row["prompt_ids"]) + len(row["chosen_ids"])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", ["sft", "dpo", "reward", "classification"])
def test_the_peak_of_real_training(
    kind: StepObjective, lora: bool, checkpointing: bool, tokenizer: Any, tmp_path: Path
) -> None:
    trainer = _trainer(kind, tmp_path, tokenizer, lora, checkpointing)
    reference = getattr(trainer, "ref_model", None)
    weights = _size(trainer.model) + (_size(reference) if reference is not None else 0)
    real = weights + _peak(trainer.train)
    step = Step(
        config=TINY,
        batch=ROWS,
        length=_length(kind, trainer),
        objective=kind,
        weights="float32",
        adapter=LORA if lora else None,
        checkpointing=checkpointing,
        attention="eager",
        reference_model=reference is not None,
        workspace_mib=0,
    )
    assert replay(step, device="cpu").requested == pytest.approx(real, rel=0.005)
