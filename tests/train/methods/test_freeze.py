"""Freezing all but the last layers finds them in models of many kinds, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    FalconConfig,
    GPT2Config,
    GPTNeoXConfig,
    JambaConfig,
    ModernBertConfig,
    OPTConfig,
    T5Config,
)

from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.adapters import freeze_all_but_last

HEADS: dict[str, Any] = {"vocab_size": 64, "hidden_size": 16, "num_attention_heads": 2}
SMALL: dict[str, Any] = {**HEADS, "num_hidden_layers": 3, "intermediate_size": 32}
JAMBA = JambaConfig(
    **{**SMALL, "num_hidden_layers": 4},
    num_key_value_heads=2,
    num_experts=8,
    attn_layer_period=2,
    attn_layer_offset=1,
    expert_layer_period=2,
    expert_layer_offset=1,
    mamba_d_state=4,
    use_mamba_kernels=False,
    tie_word_embeddings=False,
)
OPT = OPTConfig(**HEADS, ffn_dim=32, num_hidden_layers=3, word_embed_proj_dim=8)
DEBERTA = DebertaV2Config(
    **SMALL, relative_attention=True, norm_rel_ebd="layer_norm", conv_kernel_size=3
)
WRITES, SCORES = AutoModelForCausalLM, AutoModelForSequenceClassification
KINDS: dict[str, tuple[Any, Any, str, set[str]]] = {
    "opt": (
        WRITES,
        OPT,
        "model.decoder.layers.2.",
        {"model.decoder.final_layer_norm", "model.decoder.project_out"},
    ),
    "gpt2": (
        WRITES,
        GPT2Config(vocab_size=64, n_embd=16, n_layer=3, n_head=2),
        "transformer.h.2.",
        {"transformer.ln_f"},
    ),
    "gpt_neox": (
        WRITES,
        GPTNeoXConfig(**SMALL),
        "gpt_neox.layers.2.",
        {"gpt_neox.final_layer_norm", "lm_head"},
    ),
    "falcon": (
        WRITES,
        FalconConfig(**HEADS, num_hidden_layers=3),
        "transformer.h.2.",
        {"transformer.ln_f"},
    ),
    "jamba": (WRITES, JAMBA, "model.layers.3.", {"model.final_layernorm", "lm_head"}),
    "bert": (
        SCORES,
        BertConfig(**SMALL),
        "bert.encoder.layer.2.",
        {"bert.pooler.dense", "classifier"},
    ),
    "modernbert": (
        SCORES,
        ModernBertConfig(**SMALL, pad_token_id=0),
        "model.layers.2.",
        {"model.final_norm", "head.dense", "head.norm", "classifier"},
    ),
    "deberta": (SCORES, DEBERTA, "deberta.encoder.layer.2.", {"pooler.dense", "classifier"}),
}


def _of_the_script() -> Callable[[torch.nn.Module, int], None]:
    names: dict[str, Any] = {"torch": torch}
    exec(files("tui_ft.eject").joinpath("parts/freeze.part").read_text("utf-8"), names)
    found: Callable[[torch.nn.Module, int], None] = names["freeze_all_but_last"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_and_what_follows_it_are_trained(kind: str) -> None:
    maker, config, layer, behind = KINDS[kind]
    model = maker.from_config(config)
    wanted = {
        name
        for name, _ in model.named_parameters()
        if name.startswith(layer) or name.rpartition(".")[0] in behind
    }
    assert {name.rpartition(".")[0] for name in wanted} >= behind
    for freeze in (freeze_all_but_last, _of_the_script()):
        model.requires_grad_(True)
        freeze(model, 1)
        assert {name for name, one in model.named_parameters() if one.requires_grad} == wanted


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2),
            "has an encoder and a decoder",
        ),
        (AlbertConfig(**SMALL, embedding_size=8), "no list of its 3 layers .* share"),
    ],
)
def test_models_without_one_stack_of_layers_are_refused(config: Any, said: str) -> None:
    with pytest.raises(RunFailure, match=said):
        freeze_all_but_last(SCORES.from_config(config), 1)
    with pytest.raises(SystemExit, match=r"this one has two|stand in a list"):
        _of_the_script()(SCORES.from_config(config), 1)
