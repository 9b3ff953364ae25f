"""Nothing is dropped while answers are sampled, nor while preferences are learned.

Here and in the ejected script.
"""

from __future__ import annotations

import contextlib
import copy
import math
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
)

from tests.tiny_model import judged_rows, pair_rows, write_rows
from tests.train.running import make_spec, run_worker
from tui_ft.train.dropout import leave_out_dropout, without_dropout

LLAMA = LlamaConfig(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    attention_dropout=0.5,
)
GPT2 = GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, attn_pdrop=0.5)
OTHERS = (
    BloomConfig(
        vocab_size=64,
        hidden_size=16,
        n_layer=2,
        n_head=2,
        hidden_dropout=0.5,
        attention_dropout=0.5,
    ),
    FalconConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_dropout=0.5,
        attention_dropout=0.5,
    ),
    OPTConfig(
        vocab_size=64,
        hidden_size=16,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        word_embed_proj_dim=16,
        dropout=0.5,
        attention_dropout=0.5,
        layerdrop=0.5,
    ),
)


def _of_the_script(part: str, function: str) -> Any:
    names: dict[str, Any] = {"contextlib": contextlib, "copy": copy, "torch": torch}
    exec(files("tui_ft.eject").joinpath(f"parts/{part}.part").read_text("utf-8"), names)
    return names[function]


def _model_of(config: PreTrainedConfig, attention: str = "eager") -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", [LLAMA, GPT2])
@pytest.mark.parametrize(
    "leave_out", [without_dropout, _of_the_script("dropout", "without_dropout")]
)
def test_dropout_is_left_out_for_a_while(
    leave_out: Any, config: PreTrainedConfig, attention: str
) -> None:
    model = _model_of(config, attention)
    ids = torch.arange(12)[None]
    expected = model.eval()(ids).logits
    model.train()
    model.lm_head.training = False  # as it was, so it is left
    assert not torch.allclose(model(ids).logits, expected, atol=1e-3)
    with leave_out(model):
        assert model.training
        torch.testing.assert_close(model(ids).logits, expected)
    assert [name for name, one in model.named_modules() if not one.training] == ["lm_head"]
    assert not torch.allclose(model(ids).logits, expected, atol=1e-3)


@pytest.mark.parametrize("config", [LLAMA, GPT2, *OTHERS], ids=lambda one: one.model_type)
@pytest.mark.parametrize(
    "leave_out", [leave_out_dropout, _of_the_script("no_dropout", "leave_out_dropout")]
)
def test_nothing_is_dropped_in_training(leave_out: Any, config: PreTrainedConfig) -> None:
    model, said = _model_of(config), config.to_dict()
    ids = torch.arange(12)[None]
    expected = model.eval()(ids).logits
    assert not torch.allclose(model.train()(ids).logits, expected, atol=1e-3)
    leave_out(model)
    torch.testing.assert_close(model(ids).logits, expected)
    assert all(one.training for one in model.modules())
    assert model.config.to_dict() == said  # for who loads it later


@pytest.mark.parametrize(("objective", "begins_at"), [("dpo", math.log(2)), ("kto", 0.5)])
def test_the_policy_begins_at_its_reference(
    tmp_path: Path, tiny_llama: Path, objective: str, begins_at: float
) -> None:
    """The losses that DPO (equation 7) and KTO (equation 8) have where both say the same."""
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    AutoConfig.from_pretrained(tiny_llama, attention_dropout=0.3).save_pretrained(model)
    write_rows(tmp_path / "rows.jsonl", pair_rows(40) if objective == "dpo" else judged_rows(40))
    spec = make_spec(
        tmp_path,
        model,
        objective={"kind": objective},
        method={"kind": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.3},
        training={"max_steps": 1, "eval_steps": None, "save_steps": None},
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    assert ran.losses == pytest.approx([begins_at], abs=1e-6)
