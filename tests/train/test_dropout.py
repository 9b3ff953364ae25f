"""Answers are sampled and scored without any dropout, here and in the ejected script."""

from __future__ import annotations

import contextlib
from importlib.resources import files
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from tui_ft.train.dropout import without_dropout

LLAMA = LlamaConfig(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    attention_dropout=0.5,
)
GPT2 = GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, attn_pdrop=0.5)


def _of_the_script() -> Any:
    names: dict[str, Any] = {"contextlib": contextlib}
    exec(files("tui_ft.eject").joinpath("parts/dropout.part").read_text("utf-8"), names)
    return names["without_dropout"]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", [LLAMA, GPT2])
@pytest.mark.parametrize("leave_out", [without_dropout, _of_the_script()])
def test_dropout_is_left_out_for_a_while(
    leave_out: Any, config: PreTrainedConfig, attention: str
) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
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
