"""What follows from an architecture, and what is said where none can be told."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.memory.models import LLAMA_8B, TINY
from tests.models.counting import on_meta
from tests.models.variants import VARIANTS, config_of, name_of
from tui_ft.models import ArchitectureError, architecture_of
from tui_ft.models.catalogue import catalogue
from tui_ft.models.families.table import FAMILIES

_LATENT = ("deepseek_v2", "deepseek_v3")


def test_parts_of_a_llama_by_hand() -> None:
    found = architecture_of(LLAMA_8B)
    assert found.by_part == {
        "embedding": 128256 * 4096,
        "attention": 32 * 4096 * (4096 + 1024 + 1024 + 4096),
        "mlp": 32 * 3 * 4096 * 14336,
        "norm": 65 * 4096,
        "head": 128256 * 4096,
    }
    assert found.active_parameters == found.parameters == 8_030_261_248


def test_a_tied_head_has_no_parameters_of_its_own() -> None:
    found = architecture_of({**TINY, "tie_word_embeddings": True})
    assert "head" not in found.by_part
    assert found.output.weights == 8192 * 256


def test_the_cache_of_a_llama_by_hand() -> None:
    # Keys and values of 8 heads of 128 in 32 layers, 2 bytes each: 128 KiB a token.
    assert architecture_of(LLAMA_8B).kv_cache_bytes() == 131_072
    assert architecture_of(LLAMA_8B).kv_cache_bytes(1000, element=1) == 65_536_000


def test_a_window_bounds_the_cache_of_its_layers() -> None:
    found = architecture_of({**TINY, "model_type": "gemma2", "head_dim": 32, "sliding_window": 64})
    one = 2 * 4 * 32 * 2  # keys and values, heads, width, bytes
    assert found.kv_cache_bytes(1000) == one * (2 * 64 + 2 * 1000)


@pytest.mark.parametrize(
    "variant",
    [variant for variant in VARIANTS if variant["model_type"] not in ("gemma3", "opt")],
    ids=name_of,
)
def test_the_cache_is_as_large_as_transformers(variant: dict[str, Any]) -> None:
    config = config_of(variant)
    found = architecture_of(config)
    if found.kind == "encoder":
        assert found.kv_cache_bytes(7) == 0
        return
    if found.heads % found.kv_heads:
        pytest.skip("no such model can run")
    model, device = _runnable(on_meta(config))
    with torch.no_grad():
        kept = model(input_ids=torch.zeros(1, 7, dtype=torch.long, device=device)).past_key_values
    layers = [(layer.keys, layer.values) for layer in kept.layers]
    size = sum(tensor.numel() for pair in layers for tensor in pair if tensor is not None)
    assert found.kv_cache_bytes(7, element=1) == size


def _runnable(model: Any) -> tuple[Any, str]:
    """Return a model that can be run, and where: some ask for numbers, which meta has not."""
    device = "cpu" if model.config.model_type in ("gpt2", "gptj") else "meta"
    if device == "cpu":
        model = model.to_empty(device=device)
    return model.eval().to(torch.bfloat16), device  # stacked experts take nothing else


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2", "gpt_neox", "phi3", "bert"])
def test_operations_are_those_that_torch_counts(model_type: str) -> None:
    of_family = [v for v in VARIANTS if v["model_type"] == model_type]
    config = config_of(next(v for v in of_family if "sliding_window" not in v))
    found = architecture_of(config)
    model, device = _runnable(on_meta(config))
    model.set_attn_implementation("eager")
    tokens = torch.zeros(1, 96, dtype=torch.long, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=tokens)
    # Eager attention does the whole square, of which a decoder needs a half.
    attention = 4 * found.heads * found.head_dim * found.layers
    square = attention * (96 * 96 - (96 * 97 // 2 if found.kind == "decoder" else 96 * 96))
    assert found.forward_flops(96) + square == counter.get_total_flops()


def test_a_window_bounds_the_operations() -> None:
    config = {**TINY, "model_type": "mistral", "sliding_window": 10}
    whole = architecture_of({**config, "sliding_window": None})
    pair = 4 * 8 * 32 * 4  # operations a pair, heads, width, layers
    fewer = 100 * 101 // 2 - (10 * 11 // 2 + 90 * 10)
    assert whole.forward_flops(100) - architecture_of(config).forward_flops(100) == pair * fewer


def test_experts_that_a_token_passes_are_counted_once() -> None:
    few = {"num_local_experts": 4, "num_experts_per_tok": 2}
    found = architecture_of({**TINY, "model_type": "mixtral", **few})
    assert found.parameters - found.active_parameters == 4 * 2 * 3 * 256 * 688


def test_an_architecture_takes_less_than_a_millisecond() -> None:
    configs = [entry.config for entry in catalogue().values()]
    best = min(_seconds(configs) for _ in range(3))
    assert best / len(configs) < 1e-3


def _seconds(configs: list[dict[str, Any]]) -> float:
    start = time.process_time()
    for config in configs:
        architecture_of(config)
    return time.process_time() - start


def test_what_looks_like_a_llama_is_counted_and_marked() -> None:
    known = architecture_of(TINY)
    guessed = architecture_of({**TINY, "model_type": "newllama"})
    assert (guessed.guessed, guessed.family) == (True, "newllama")
    assert guessed.parameters == known.parameters
    assert not known.guessed


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no `model_type`"),
        ({"model_type": 7}, "no `model_type`"),
        ({"model_type": "vit", "hidden_size": 768}, "not known here"),
        ({**TINY, "model_type": "newmoe", "num_experts": 8}, "not like a Llama's"),
        ({**TINY, "model_type": "mamba2", "state_size": 128}, "not like a Llama's"),
        ({**TINY, "model_type": "x", "layer_types": ["linear_attention"]}, "not like a Llama's"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "an encoder and writes with a decoder"),
        ({"model_type": "llava", "text_config": TINY}, "its text part, Llama, has 7,096,576 param"),
        ({"model_type": "llava", "text_config": {}}, "text and something else"),
        ({**TINY, "hidden_size": "wide"}, "`hidden_size` of the configuration is 'wide'"),
        ({**TINY, "hidden_size": -4}, "and no size"),
        ({**TINY, "num_hidden_layers": 10**6}, "no model has so many"),
        ({**TINY, "num_hidden_layers": None}, "lacks `num_hidden_layers`"),
        ({"model_type": "deepseek_v2"}, "lacks `num_experts_per_tok`"),
    ],
)
def test_what_cannot_be_told_is_a_sentence(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ArchitectureError) as raised:
        architecture_of(config)
    assert said in str(raised.value)


def test_texts_of_a_configuration_arrive_harmless() -> None:
    with pytest.raises(ArchitectureError) as raised:
        architecture_of({"model_type": "\x1b[2Jevil"})
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("value", [None, "x", 0, -1, 2.5, True, [1], {"a": 1}, 1 << 70])
def test_no_value_raises_anything_else(model_type: str, value: Any) -> None:
    family = FAMILIES[model_type]
    for key in family.defaults:
        config = {"model_type": model_type, "num_experts_per_tok": 2, key: value}
        try:
            assert architecture_of(config).parameters >= 0
        except ArchitectureError as error:
            assert str(error)
