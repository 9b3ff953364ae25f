"""LoftQ: a 4-bit base with its adapter is nearer to the weights in full, and stays what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from bitsandbytes.functional import dequantize_4bit
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from tests.train.running import make_spec, run_worker
from tui_ft.runs import events as ev
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.loftq import begin_at_the_residual
from tui_ft.train.model import _keep_as_quantised


def _quantised(model: Path) -> Any:
    how = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, quantization_config=how)
    _keep_as_quantised(base)
    return base


def _logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=torch.arange(5, 35)[None]).logits.clone()  # type: ignore[no-any-return]


def test_the_update_is_the_best_of_its_rank(tiny_llama: Path) -> None:
    config = LoraConfig(r=8, lora_alpha=32, target_modules="all-linear")
    model = get_peft_model(_quantised(tiny_llama), config)
    begin_at_the_residual(model, str(tiny_llama))
    layer = model.base_model.model.model.layers[1].mlp.down_proj
    stored = safetensors.torch.load_file(tiny_llama / "model.safetensors")
    whole = stored["model.layers.1.mlp.down_proj.weight"]
    held = layer.base_layer.weight
    lacking = whole - dequantize_4bit(held.data, held.quant_state)
    update = layer.get_delta_weight("default")  # alpha / r = 4 included
    left = torch.linalg.svdvals(lacking)[8:].square().sum().sqrt()
    torch.testing.assert_close((lacking - update).norm(), left, rtol=1e-3, atol=1e-5)
    assert left < 0.9 * lacking.norm()


def test_the_model_begins_nearer_to_the_one_in_full(tiny_llama: Path) -> None:
    whole = _logits(AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32))
    model = get_peft_model(
        _quantised(tiny_llama), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
    )
    plain = (_logits(model) - whole).abs().mean()
    begin_at_the_residual(model, str(tiny_llama))
    assert (_logits(model) - whole).abs().mean() < 0.8 * plain


def test_weights_that_cannot_be_read_are_told(tiny_llama: Path, tmp_path: Path) -> None:
    model = get_peft_model(_quantised(tiny_llama), LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(RunFailure, match="as they were before quantising"):
        begin_at_the_residual(model, str(tmp_path))
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with pytest.raises(RunFailure, match="no update on a weight in 4 bits"):
        begin_at_the_residual(
            get_peft_model(plain, LoraConfig(target_modules=["q_proj"])), str(tiny_llama)
        )


def test_a_run_is_saved_loaded_and_resumed(tmp_path: Path, tiny_llama: Path) -> None:
    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == 4:
            send("stop")

    spec = make_spec(
        tmp_path,
        tiny_llama,
        method={"kind": "qlora", "r": 8, "lora_alpha": 16, "init_lora_weights": "loftq"},
        training={"learning_rate": 1e-2, "max_steps": 8, "eval_steps": 4, "save_steps": 4},
        hardware={"gpus": "none", "cpu_threads": 1},
    )
    whole = run_worker(spec, tmp_path / "whole")
    assert whole.ended.state == "finished", whole.ended
    assert any("belongs on the base in 4 bits" in alert.text for alert in whole.of(ev.Alert))
    first, last = whole.losses[0], whole.losses[-1]
    assert first is not None
    assert last is not None
    assert last < first - 0.1
    loaded = PeftModel.from_pretrained(_quantised(tiny_llama), whole.folder.output_dir())
    torch.testing.assert_close(_logits(loaded), _logits(whole.trainer.model), rtol=0, atol=1e-4)
    run_worker(spec, tmp_path / "halves", on_event=stop)
    resumed = run_worker(spec, tmp_path / "halves", resume=True)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
