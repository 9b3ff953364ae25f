"""The families that are laid out as Llama is. A new one is a row of the table below.

Defaults are those of transformers' configuration classes; a test compares them.
"""

from __future__ import annotations

from typing import Any, Final

from tui_ft.models.families import windows
from tui_ft.models.families.family import Family
from tui_ft.models.families.llama_like import ExpertTraits, Traits, llama_like
from tui_ft.models.pieces import Layers
from tui_ft.models.values import Values


def _sparse_layers(values: Values, layers: int) -> Layers:
    """Return the layers with experts of Qwen's mixtures."""
    step = values.size("decoder_sparse_step")
    plain = set(values.numbers("mlp_only_layers"))
    return tuple(n for n in range(layers) if n not in plain and (n + 1) % step == 0)


def _shared_size(values: Values) -> int:
    return values.size("shared_expert_intermediate_size")


def sizes(
    hidden: int, intermediate: int, layers: int, heads: int, vocab: int, **more: Any
) -> dict[str, Any]:
    """Return the defaults of a family: the sizes that all have, and what it has beside."""
    all_have = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocab,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }
    return {key: value for key, value in (all_have | more).items() if value is not None}


_GEMMA_NORMS: Final = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
GEMMA3: Final = Traits(
    qkv_bias="attention_bias",
    out_bias="attention_bias",
    qk_norm="head",
    norms=_GEMMA_NORMS,
    activation="hidden_activation",
)
GEMMA3_DEFAULTS: Final = sizes(
    *(2304, 9216, 26, 8, 262208),
    num_key_value_heads=4,
    head_dim=256,
    max_position_embeddings=131072,
    hidden_act=None,
    hidden_activation="gelu_pytorch_tanh",
    tie_word_embeddings=True,
    sliding_window=4096,
)
AFTER: Final = ("post_attention_layernorm", "post_feedforward_layernorm")

LLAMA: Final = llama_like(
    Traits(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias")
)
MISTRAL: Final = llama_like(Traits())
_QWEN2: Final = llama_like(Traits(qkv_bias=True))
_QWEN3: Final = llama_like(
    Traits(qkv_bias="attention_bias", out_bias="attention_bias", qk_norm="head")
)
_OLMO2: Final = llama_like(
    Traits(qkv_bias="attention_bias", out_bias="attention_bias", qk_norm="whole", norms=AFTER)
)
_GEMMA: Final = llama_like(Traits(qkv_bias="attention_bias", out_bias="attention_bias"))
_MOE_ALIASES: Final = {"num_local_experts": ("num_experts",), "num_experts": ("num_local_experts",)}

LLAMAS: Final[dict[str, Family]] = {
    "llama": Family(
        "Llama",
        LLAMA,
        sizes(4096, 11008, 32, 32, 32000, max_position_embeddings=2048),
    ),
    "mistral": Family(
        "Mistral",
        MISTRAL,
        sizes(
            *(4096, 14336, 32, 32, 32000),
            num_key_value_heads=8,
            max_position_embeddings=131072,
            sliding_window=4096,
        ),
        windowed=windows.every_layer,
    ),
    "mixtral": Family(
        "Mixtral",
        llama_like(
            Traits(experts=ExpertTraits(count="num_local_experts", size="intermediate_size"))
        ),
        sizes(
            *(4096, 14336, 32, 32, 32000),
            num_key_value_heads=8,
            max_position_embeddings=131072,
            num_local_experts=8,
            num_experts_per_tok=2,
        ),
        _MOE_ALIASES,
        windowed=windows.every_layer,
    ),
    "qwen2": Family(
        "Qwen2",
        _QWEN2,
        sizes(
            *(4096, 22016, 32, 32, 151936),
            num_key_value_heads=32,
            max_position_embeddings=32768,
            sliding_window=4096,
            max_window_layers=28,
        ),
        windowed=windows.after_max_window_layers,
    ),
    "qwen2_moe": Family(
        "Qwen2-MoE",
        llama_like(
            Traits(
                qkv_bias="qkv_bias",
                experts=ExpertTraits(shared=_shared_size, shared_gate=True, layers=_sparse_layers),
            )
        ),
        sizes(
            *(2048, 5632, 24, 16, 151936),
            num_key_value_heads=16,
            max_position_embeddings=32768,
            qkv_bias=True,
            num_experts=60,
            num_experts_per_tok=4,
            moe_intermediate_size=1408,
            shared_expert_intermediate_size=5632,
            decoder_sparse_step=1,
            sliding_window=4096,
            max_window_layers=28,
        ),
        windowed=windows.odd_before_max_window_layers,
    ),
    "qwen3": Family(
        "Qwen3",
        _QWEN3,
        sizes(
            *(4096, 22016, 32, 32, 151936),
            num_key_value_heads=32,
            head_dim=128,
            max_position_embeddings=32768,
            sliding_window=4096,
            max_window_layers=28,
        ),
        windowed=windows.after_max_window_layers,
    ),
    "qwen3_moe": Family(
        "Qwen3-MoE",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                qk_norm="head",
                experts=ExpertTraits(layers=_sparse_layers),
            )
        ),
        sizes(
            *(2048, 6144, 24, 32, 151936),
            num_key_value_heads=4,
            max_position_embeddings=32768,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
            decoder_sparse_step=1,
            sliding_window=4096,
        ),
        _MOE_ALIASES,
        windowed=windows.if_used,
    ),
    "gemma": Family(
        "Gemma",
        _GEMMA,
        sizes(
            *(3072, 24576, 28, 16, 256000),
            num_key_value_heads=16,
            head_dim=256,
            max_position_embeddings=8192,
            hidden_act="gelu_pytorch_tanh",
            tie_word_embeddings=True,
        ),
    ),
    "gemma2": Family(
        "Gemma 2",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                norms=_GEMMA_NORMS,
                activation="hidden_activation",
            )
        ),
        sizes(
            *(2304, 9216, 26, 8, 256000),
            num_key_value_heads=4,
            head_dim=256,
            max_position_embeddings=8192,
            hidden_act=None,
            hidden_activation="gelu_pytorch_tanh",
            tie_word_embeddings=True,
            sliding_window=4096,
        ),
        windowed=windows.all_but_each(2),
    ),
    "gemma3_text": Family(
        "Gemma 3",
        llama_like(GEMMA3),
        GEMMA3_DEFAULTS,
        windowed=windows.all_but_each(6),
    ),
    "phi3": Family(
        "Phi-3",
        llama_like(Traits(qkv=("qkv_proj",), up=("gate_up_proj",))),
        sizes(3072, 8192, 32, 32, 32064, max_position_embeddings=4096),
        windowed=windows.every_layer,
    ),
    "phi": Family(
        "Phi",
        llama_like(
            Traits(
                norms=("input_layernorm",),
                last_norm="final_layernorm",
                norm="layer",
                qk_norm="head",
                qk_norm_if="qk_layernorm",
                qk_norms=("q_layernorm", "k_layernorm"),
                qkv_bias=True,
                out="dense",
                out_bias=True,
                up=("fc1",),
                down="fc2",
                gated=False,
                mlp_bias=True,
                head_bias=True,
                parallel=True,
            )
        ),
        sizes(*(2048, 8192, 24, 32, 51200), max_position_embeddings=2048, hidden_act="gelu_new"),
    ),
    "phimoe": Family(
        "Phi-3.5-MoE",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                norm="layer",
                head_bias="lm_head_bias",
                experts=ExpertTraits(
                    count="num_local_experts", size="intermediate_size", router="router"
                ),
            )
        ),
        sizes(
            *(4096, 6400, 32, 32, 32064),
            num_key_value_heads=8,
            max_position_embeddings=131072,
            num_local_experts=16,
            num_experts_per_tok=2,
        ),
        _MOE_ALIASES,
        windowed=windows.every_layer,
    ),
    "smollm3": Family(
        "SmolLM3",
        LLAMA,
        sizes(
            *(2048, 11008, 36, 16, 128256),
            num_key_value_heads=4,
            max_position_embeddings=32768,
            tie_word_embeddings=True,
            no_rope_layer_interval=4,
        ),
        windowed=windows.without_rotation,
    ),
    "olmo": Family(
        "OLMo",
        llama_like(Traits(qkv_bias="attention_bias", out_bias="attention_bias", norm="none")),
        sizes(4096, 11008, 32, 32, 50304, max_position_embeddings=2048),
    ),
    "olmo2": Family(
        "OLMo 2",
        _OLMO2,
        sizes(4096, 11008, 32, 32, 50304, max_position_embeddings=2048),
    ),
    "olmo3": Family(
        "OLMo 3",
        _OLMO2,
        sizes(4096, 11008, 32, 32, 50304, max_position_embeddings=2048, sliding_window=4096),
        windowed=windows.all_but_each(4),
    ),
    "olmoe": Family(
        "OLMoE",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                qk_norm="whole",
                experts=ExpertTraits(size="intermediate_size"),
            )
        ),
        sizes(
            *(2048, 2048, 16, 16, 50304),
            max_position_embeddings=4096,
            num_experts=64,
            num_experts_per_tok=8,
        ),
        _MOE_ALIASES,
    ),
    "granite": Family(
        "Granite",
        LLAMA,
        sizes(4096, 11008, 32, 32, 32000, max_position_embeddings=2048),
    ),
    "granitemoe": Family(
        "Granite-MoE",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                experts=ExpertTraits(
                    block="block_sparse_moe",
                    router="router",
                    count="num_local_experts",
                    size="intermediate_size",
                ),
            )
        ),
        sizes(
            *(4096, 11008, 32, 32, 32000),
            max_position_embeddings=2048,
            num_local_experts=8,
            num_experts_per_tok=2,
        ),
        _MOE_ALIASES,
    ),
}
