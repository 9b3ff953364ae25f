"""Every well-known family can be replayed with every method and objective."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tui_ft.dryrun.replay import replay
from tui_ft.memory.step import Quantization, Step, StepObjective

SIZES: Final[dict[str, Any]] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 1024,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
DECODERS: Final[dict[str, dict[str, Any]]] = {
    "llama": {},
    "mistral": {"sliding_window": 64},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "gemma": {"head_dim": 32},
    "gemma2": {"head_dim": 32, "sliding_window": 64},
    "gemma3_text": {"head_dim": 32, "sliding_window": 64},
    "phi": {},
    "phi3": {},
    "smollm3": {},
    "olmo": {},
    "olmo2": {},
    "granite": {},
    "gpt_neox": {},
    "falcon": {"multi_query": True},
    "gpt2": {"n_embd": 256, "n_layer": 2, "n_head": 8, "n_positions": 512},
    "opt": {"ffn_dim": 512, "word_embed_proj_dim": 256},
    "bloom": {"n_layer": 2, "n_head": 8},
}
LORA: Final = {"peft_type": "LORA", "r": 8, "target_modules": "all-linear"}
METHODS: Final[dict[str, dict[str, Any]]] = {
    "full": {"weights": "float32", "arithmetic": "bfloat16"},
    "lora": {"adapter": LORA, "arithmetic": "bfloat16", "checkpointing": True, "padded": True},
    "qlora": {"adapter": LORA, "arithmetic": "bfloat16", "quantization": Quantization()},
}


@pytest.mark.parametrize("family", DECODERS)
def test_decoders(family: str) -> None:
    config = {**SIZES, "model_type": family, **DECODERS[family]}
    found = {
        method: replay(Step(config=config, batch=2, length=64, **more))
        for method, more in METHODS.items()
    }
    full = found["full"]
    assert full.trainable_parameters == full.parameters
    assert full.by_kind["weights"] >= 4 * full.parameters
    assert full.by_kind["optimizer"] >= 8 * full.parameters
    assert found["lora"].trainable_parameters == found["qlora"].trainable_parameters > 0
    packed, plain = (found[method].by_kind["weights"] for method in ("qlora", "lora"))
    # transformers quantises no subclass of nn.Linear, and Falcon has its own.
    assert packed == plain if family == "falcon" else packed < 0.9 * plain


@pytest.mark.parametrize("objective", ["causal_lm", "dpo", "reward", "classification"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt2"])
def test_other_objectives(family: str, objective: StepObjective) -> None:
    config = {**SIZES, "model_type": family, **DECODERS[family]}
    for more in METHODS.values():
        found = replay(Step(config=config, batch=2, length=64, objective=objective, **more))
        assert found.reserved >= found.allocated > found.held_between_steps


def test_dpo_without_an_adapter_holds_a_second_model() -> None:
    config = {**SIZES, "model_type": "llama"}
    alone = replay(Step(config=config, batch=2, length=64))
    pair = replay(Step(config=config, batch=2, length=64, objective="dpo"))
    assert pair.by_kind["weights"] == pytest.approx(2 * alone.by_kind["weights"], rel=0.01)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_encoders_that_classify(family: str) -> None:
    config: dict[str, Any] = {**SIZES, "model_type": family}
    if family == "distilbert":
        config |= {"dim": 256, "hidden_dim": 512, "n_layers": 2, "n_heads": 8}
    found = replay(
        Step(config=config, batch=2, length=64, objective="classification", num_labels=5)
    )
    assert found.trainable_parameters == found.parameters > 0
