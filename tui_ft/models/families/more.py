"""More families that are laid out as Llama is: rows like those of `llamas.py`."""

from __future__ import annotations

from typing import Final

from tui_ft.models.families import windows
from tui_ft.models.families.family import Family
from tui_ft.models.families.llama_like import ExpertTraits, Traits, llama_like
from tui_ft.models.families.llamas import AFTER, MISTRAL, sizes

_COHERE: Final = llama_like(
    Traits(
        norms=("input_layernorm",),
        norm="layer",
        norm_bias=False,
        qk_norm="whole",
        qk_norm_if="use_qk_norm",
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        parallel=True,
    )
)
_GLM_NORMS: Final = ("input_layernorm", "post_attention_layernorm")

MORE: Final[dict[str, Family]] = {
    "ministral": Family(
        "Ministral",
        MISTRAL,
        sizes(
            *(4096, 14336, 32, 32, 32000),
            num_key_value_heads=8,
            max_position_embeddings=131072,
            sliding_window=4096,
        ),
        windowed=windows.every_layer,
    ),
    "ministral3": Family(
        "Ministral 3",
        MISTRAL,
        sizes(
            *(4096, 14336, 34, 32, 131072),
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=262144,
        ),
        windowed=windows.every_layer,
    ),
    "starcoder2": Family(
        "StarCoder2",
        llama_like(
            Traits(
                norm="layer",
                qkv_bias="use_bias",
                out_bias="use_bias",
                mlp_bias="use_bias",
                up=("c_fc",),
                down="c_proj",
                gated=False,
            )
        ),
        sizes(
            *(3072, 12288, 30, 24, 49152),
            num_key_value_heads=2,
            max_position_embeddings=4096,
            hidden_act="gelu_pytorch_tanh",
            tie_word_embeddings=True,
            use_bias=True,
        ),
        windowed=windows.every_layer,
    ),
    "cohere": Family(
        "Command R",
        _COHERE,
        sizes(
            *(8192, 22528, 40, 64, 256000), max_position_embeddings=8192, tie_word_embeddings=True
        ),
    ),
    "cohere2": Family(
        "Command R7B",
        _COHERE,
        sizes(
            *(8192, 22528, 40, 64, 256000),
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            sliding_window=4096,
        ),
        windowed=windows.all_but_each(4),
    ),
    "glm": Family(
        "GLM-4",
        llama_like(Traits(qkv_bias="attention_bias", up=("gate_up_proj",), norms=_GLM_NORMS)),
        sizes(
            *(4096, 13696, 40, 32, 151552),
            num_key_value_heads=2,
            head_dim=128,
            max_position_embeddings=131072,
            attention_bias=True,
        ),
    ),
    "glm4": Family(
        "GLM-4-0414",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                up=("gate_up_proj",),
                norms=(*_GLM_NORMS, "post_self_attn_layernorm", "post_mlp_layernorm"),
            )
        ),
        sizes(
            *(4096, 13696, 40, 32, 151552),
            num_key_value_heads=2,
            head_dim=128,
            max_position_embeddings=131072,
            attention_bias=True,
        ),
    ),
    "gpt_oss": Family(
        "gpt-oss",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                sinks=True,
                experts=ExpertTraits(
                    count="num_local_experts", size="intermediate_size", router="router", bias=True
                ),
            )
        ),
        sizes(
            *(2880, 2880, 36, 64, 201088),
            num_key_value_heads=8,
            head_dim=64,
            max_position_embeddings=131072,
            attention_bias=True,
            num_local_experts=128,
            num_experts_per_tok=4,
            sliding_window=128,
        ),
        {"num_local_experts": ("num_experts",)},
        windowed=windows.all_but_each(2),
    ),
    "exaone4": Family(
        "EXAONE 4",
        llama_like(Traits(qk_norm="head", norms=AFTER)),
        sizes(*(4096, 16384, 32, 32, 102400), max_position_embeddings=2048, sliding_window=4096),
        windowed=windows.all_but_each(4),
    ),
    "ernie4_5": Family(
        "ERNIE 4.5",
        llama_like(Traits(qkv_bias="use_bias", out_bias="use_bias", mlp_bias="use_bias")),
        sizes(
            *(1024, 3072, 18, 16, 103424),
            num_key_value_heads=2,
            head_dim=128,
            max_position_embeddings=131072,
            tie_word_embeddings=True,
        ),
    ),
    "arcee": Family(
        "AFM",
        llama_like(
            Traits(
                qkv_bias="attention_bias",
                out_bias="attention_bias",
                mlp_bias="mlp_bias",
                up=("up_proj",),
                gated=False,
            )
        ),
        sizes(*(2560, 18432, 32, 32, 32000), max_position_embeddings=4096, hidden_act="relu2"),
    ),
    "seed_oss": Family(
        "Seed-OSS",
        llama_like(
            Traits(qkv_bias="attention_bias", out_bias="attention_out_bias", mlp_bias="mlp_bias")
        ),
        sizes(
            *(4096, 27648, 64, 80, 155136),
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=524288,
            attention_bias=True,
        ),
    ),
}
