"""What is told of models by their configuration is what is found on the models themselves."""

from __future__ import annotations

import inspect
from typing import Any, Final, Literal

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
)

from tui_ft.models.limits import (
    READS_ACROSS,
    WITHOUT_POSITIONS,
    reads_across,
    why_no_bottleneck,
    why_no_norms,
    why_not_frozen,
)
from tui_ft.spec.methods import BottleneckMethod
from tui_ft.spec.norm_places import is_any_tuned, not_tuned
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.adapters import freeze_all_but_last, refuse_missing_places

KEEPS_APART: Final = (
    *("cohere2", "deepseek_v3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "granite", "llama"),
    *("mistral", "mixtral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3", "stablelm"),
)
SIZES: Final[dict[str, Any]] = {
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "lru_width"), 32),
    **dict.fromkeys(("intermediate_size", "d_ff", "moe_intermediate_size"), 48),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("head_dim", "kv_lora_rank", "q_lora_rank", "v_head_dim"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "mamba_d_head", "d_kv"), 16),
    **{"num_key_value_heads": 2, "num_experts_per_tok": 2, "mamba_n_heads": 4, "mamba_expand": 2},
    **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "mamba_d_state": 4},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "is_decoder": True},
}


def small(kind: str) -> PreTrainedConfig:
    """Return a configuration of small sizes, as far as this family lets them be chosen."""
    of_kind: Any = CONFIG_MAPPING[kind]
    known = {*of_kind.__dataclass_fields__, *(of_kind.attribute_map or {})}
    sizes = {name: value for name, value in SIZES.items() if name in known}
    for _ in range(len(sizes)):
        try:
            config: PreTrainedConfig = of_kind(**sizes)
        except Exception as error:
            wrong = [name for name in sizes if name in str(error)]
            if not wrong:
                raise
            sizes = {name: value for name, value in sizes.items() if name not in wrong}
        else:
            config.use_mamba_kernels = False
            return config
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", sorted(WITHOUT_POSITIONS))
def test_these_take_no_positions(kind: str) -> None:
    known: Any = AutoModelForCausalLM._model_mapping[CONFIG_MAPPING[kind]]
    assert "position_ids" not in inspect.signature(known.forward).parameters
    assert reads_across({"model_type": kind}, with_flash=True)


@pytest.mark.parametrize("kind", [*sorted(READS_ACROSS), *KEEPS_APART])
@torch.no_grad()
def test_a_text_changes_the_one_behind_it_where_it_is_said(kind: str) -> None:
    config = small(kind)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    behind, positions = torch.arange(10, 16), torch.arange(6).repeat(2)
    first, second = (
        model(
            input_ids=torch.cat([torch.arange(begin, begin + 6), behind])[None],
            position_ids=positions[None],
            use_cache=False,
        ).logits[0, 6:]
        for begin in (20, 40)
    )
    changed = bool((first - second).abs().max() > 1e-2 * first.abs().max())
    values = {"model_type": kind}
    assert changed == reads_across(values, with_flash=False) == (kind in READS_ACROSS)
    assert not reads_across(values, with_flash=True)  # that has to be tried
    of_images = {"model_type": "some_vl", "text_config": values}
    assert reads_across(of_images, with_flash=False) == changed


@pytest.mark.parametrize(
    ("kind", "scores"),
    [
        *((kind, True) for kind in ("albert", "bart", "bert", "funnel", "llama", "mbart", "t5")),
        *((kind, True) for kind in ("mt5", "umt5", "canine", "perceiver")),
        *((kind, False) for kind in ("bart", "longcat_flash", "hrm_text", "opt", "gpt2", "jamba")),
        *((kind, False) for kind in ("nanochat", "olmo", "olmo2", "qwen3")),
    ],
)
def test_what_is_frozen_and_which_norms_learn(kind: str, scores: bool) -> None:
    config = small(kind)
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    said = why_not_frozen({**config.to_dict(), "model_type": kind}, 1, scores=scores)
    try:
        freeze_all_but_last(model, 1)
    except RunFailure as error:
        assert said is not None
        assert said[1] in error.advice
    else:
        assert said is None
    held = [(name, bool(list(one.parameters()))) for name, one in model.named_modules()]
    out = not_tuned(held)
    learns = is_any_tuned(name for name, _ in held if name not in out)
    assert learns == (why_no_norms({"model_type": kind}) is None)


@pytest.mark.parametrize("kind", ["deepseek_v3", "llama", "mixtral", "qwen2", "qwen3_moe"])
@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
def test_which_layers_have_places_for_bottleneck_adapters(
    kind: str, placement: Literal["houlsby", "pfeiffer"]
) -> None:
    config = small(kind)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    said = why_no_bottleneck({**config.to_dict(), "model_type": kind})
    try:
        refuse_missing_places(BottleneckMethod(placement=placement), model)
    except RunFailure:
        assert said is not None
    else:
        assert said is None


def test_more_layers_than_there_are_cannot_be_trained() -> None:
    config = {**small("llama").to_dict(), "model_type": "llama"}
    assert why_not_frozen(config, 2, scores=False) is None
    said = why_not_frozen(config, 3, scores=False)
    assert said is not None
    assert said == (
        "method.num_trainable_layers is 3, and the model has 2 layers",
        "set it to 2 or less",
    )
