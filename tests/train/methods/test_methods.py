"""Full, LoRA and QLoRA train for real, and what they save gives the same logits when loaded."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from tests.train.running import Ran, make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.train import worker as worker_module

PROMPT = "<|im_start|>user\nWhat colour is the fig of bob?<|im_end|>\n<|im_start|>assistant\n"
LORA = {"r": 8, "lora_alpha": 16}


class Kept:
    """A run, and the logits of its model in the process that trained it."""

    def __init__(self, ran: Ran, logits: torch.Tensor) -> None:
        self.ran, self.logits = ran, logits


def _logits(model: Any, tokenizer: Any) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        batch = tokenizer(PROMPT, return_tensors="pt", add_special_tokens=False)
        return model(**batch).logits.float().clone()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Any:
    """Return a function that trains a method once and keeps the outcome."""
    done: dict[str, Kept] = {}

    def train_once(kind: str) -> Kept:
        if kind not in done:
            done[kind] = _train(kind, tmp_path_factory.mktemp(kind), tiny_llama)
        return done[kind]

    return train_once


def _train(kind: str, folder: Path, model: Path) -> Kept:
    method = {"kind": kind} if kind == "full" else {"kind": kind, **LORA}
    rate = 5e-3 if kind == "full" else 2e-2
    spec = make_spec(
        folder,
        model,
        method=method,
        training={"learning_rate": rate},
        evaluation={"samples": 1, "sample_max_new_tokens": 4},
    )
    ran = run_worker(spec, folder / "run")
    tokenizer = AutoTokenizer.from_pretrained(model)
    return Kept(ran, _logits(ran.trainer.model, tokenizer))


@pytest.mark.parametrize(("kind", "margin"), [("full", 3.0), ("lora", 0.3), ("qlora", 0.3)])
def test_the_loss_falls(train: Any, kind: str, margin: float) -> None:
    ran: Ran = train(kind).ran
    assert ran.ended.state == "finished", ran.ended
    assert len(ran.losses) == 20
    first, last = ran.losses[0], ran.losses[-1]
    assert first is not None
    assert last is not None
    assert last < first - margin


def test_the_saved_model_gives_the_same_logits(train: Any) -> None:
    kept: Kept = train("full")
    output = kept.ran.folder.path / "model"
    loaded = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(output)
    torch.testing.assert_close(_logits(loaded, tokenizer), kept.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_the_saved_adapter_on_its_base_gives_the_same_logits(
    train: Any, kind: str, tiny_llama: Path
) -> None:
    kept: Kept = train(kind)
    quantization = None
    if kind == "qlora":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    base = AutoModelForCausalLM.from_pretrained(
        tiny_llama, dtype=torch.float32, quantization_config=quantization
    )
    loaded = PeftModel.from_pretrained(base, kept.ran.folder.path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    # bitsandbytes packs 4-bit weights for the CPU's bfloat16 kernels when it first infers, and that
    # rounds the scales: two loads of one 4-bit model differ by as much. The adapter's own part is
    # far larger.
    tolerance = 1e-2 if kind == "qlora" else 1e-5
    torch.testing.assert_close(_logits(loaded, tokenizer), kept.logits, rtol=0, atol=tolerance)
    with loaded.disable_adapter():
        assert (_logits(loaded, tokenizer) - kept.logits).abs().max() > 100 * tolerance


def test_a_saved_model_answers_with_a_cache(train: Any) -> None:
    output = train("full").ran.folder.path / "model"
    assert json.loads((output / "config.json").read_text())["use_cache"] is True


def test_only_safetensors_are_left_and_only_for_the_user(train: Any) -> None:
    folder = train("lora").ran.folder.path / "adapter"
    assert (folder / "adapter_model.safetensors").is_file()
    assert not [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pkl")]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_lora_run_tells_all_that_a_monitor_shows(train: Any) -> None:
    ran: Ran = train("lora").ran
    plan = ran.history.plan
    assert plan is not None
    assert (plan.total_steps, plan.effective_batch_size, plan.method) == (20, 8, "lora")
    assert (plan.train_rows, plan.eval_rows) == (180, 20)
    assert 0 < plan.trainable_parameters < plan.total_parameters
    assert 0 < plan.supervised_tokens < plan.train_tokens
    metrics = ran.history.metrics
    assert {"loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second"} <= set(metrics)
    tokens = [value for value in metrics["tokens"].y if value is not None]
    assert tokens == sorted(tokens)
    assert tokens[-1] > 8 * 20 * 10
    assert ran.history.evaluations["eval_loss"].x == [10, 20]
    assert [c.step for c in ran.of(ev.Checkpoint)] == [10, 20]
    assert all(checkpoint.bytes > 1_000 for checkpoint in ran.of(ev.Checkpoint))
    assert {sample.step for sample in ran.of(ev.Sample)} == {10, 20}
    phases = list(dict.fromkeys(event.phase for event in ran.of(ev.Phase)))
    assert phases == ["load", "tokenise", "train", "evaluate", "save"]
    memory = ran.history.peak_memory
    assert memory is not None
    assert memory.resident is not None
    assert memory.resident > 100e6


def test_the_report_says_how_it_went(train: Any) -> None:
    ran: Ran = train("full").ran
    report = json.loads(ran.folder.report_file.read_text())
    assert report["steps"] == 20
    assert report["train_loss"] == pytest.approx(ran.losses[-1], rel=1e-3)
    losses = [e.values["eval_loss"] for e in ran.of(ev.Evaluation)]
    assert report["eval_loss"] == pytest.approx(min(losses), rel=1e-3)
    assert report["output"]["path"] == str(ran.folder.path / "model")


def test_the_entry_that_the_supervisor_names_is_there() -> None:
    from tui_ft.runs.worker_process import TRAIN_ENTRY

    module, _, function = TRAIN_ENTRY.partition(":")
    assert (module, getattr(worker_module, function)) == (
        worker_module.__name__,
        worker_module.main,
    )
