"""More shapes for the grid: latent attention, attention beside the MLP, mixtures, encoders."""

from __future__ import annotations

from typing import Any, Final


def config(
    kind: str, hidden: int, inner: int, heads: int, keys: int, words: int, layers: int, **more: Any
) -> dict[str, Any]:
    """Return the values of a config.json."""
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "vocab_size": words,
        "num_hidden_layers": layers,
        "max_position_embeddings": 8192,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        **more,
    }


_TIED: Final[dict[str, Any]] = {"tie_word_embeddings": True}
_LATENT: Final[dict[str, Any]] = {
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
DENSE: Final[dict[str, dict[str, Any]]] = {
    "Phi-2, 4 layers": config(
        "phi", 2560, 10240, 32, 32, 51200, 4, partial_rotary_factor=0.4, hidden_act="gelu_new"
    ),
    "StarCoder2-3B, 4 layers": config("starcoder2", 3072, 12288, 24, 2, 49152, 4, **_TIED),
    "Command-R, 2 layers": config("cohere", 8192, 22528, 64, 64, 256000, 2, **_TIED),
    "Command-R7B, 4 layers": config("cohere2", 4096, 14336, 32, 8, 256000, 4, **_TIED),
    "GLM-4-0414-9B, 3 layers": config(
        *("glm4", 4096, 13696, 32, 2, 151552, 3), head_dim=128, attention_bias=True
    ),
    "GLM-4-9B, 3 layers": config(
        *("glm", 4096, 13696, 32, 2, 151552, 3), head_dim=128, attention_bias=True
    ),
    "StarCoder-1B, 4 layers": {
        "model_type": "gpt_bigcode",
        "n_embd": 2048,
        "n_layer": 4,
        "n_head": 16,
        "n_positions": 4096,
        "vocab_size": 49152,
    },
    "GPT-J-6B, 3 layers": {
        "model_type": "gptj",
        "n_embd": 4096,
        "n_layer": 3,
        "n_head": 16,
        "n_positions": 2048,
        "rotary_dim": 64,
        "vocab_size": 50400,
    },
    "OLMo-3-7B, 4 layers": config("olmo3", 4096, 11008, 32, 32, 100352, 4),
    "EXAONE-4-1.2B, 4 layers": config("exaone4", 2048, 4096, 32, 8, 102400, 4, **_TIED),
    "ERNIE-4.5-0.3B, 4 layers": config("ernie4_5", 1024, 3072, 16, 2, 103424, 4, **_TIED),
    "AFM-4.5B, 4 layers": config("arcee", 2560, 18432, 20, 4, 128004, 4, hidden_act="relu2"),
    "Seed-OSS-36B, 2 layers": config(
        *("seed_oss", 5120, 27648, 80, 8, 155136, 2), head_dim=128, attention_bias=True
    ),
    "Ministral-8B, 3 layers": config("ministral", 4096, 12288, 32, 8, 131072, 3, head_dim=128),
    "Gemma-3-4B, 6 layers": {
        "model_type": "gemma3",
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 1024,
            "vocab_size": 262208,
        },
        "vision_config": {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_attention_heads": 16,
            "num_hidden_layers": 4,
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
        },
    },
}
MIXED: Final[dict[str, dict[str, Any]]] = {
    "DeepSeek-V2-Lite, 3 layers": config(
        *("deepseek_v2", 2048, 10944, 16, 16, 102400, 3),
        **_LATENT,
        q_lora_rank=None,
        moe_intermediate_size=1408,
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        first_k_dense_replace=1,
        n_group=1,
        topk_group=1,
        topk_method="greedy",
    ),
    "DeepSeek-V3, 2 layers, 32 experts": config(
        *("deepseek_v3", 7168, 18432, 128, 128, 129280, 2),
        **_LATENT,
        q_lora_rank=1536,
        moe_intermediate_size=2048,
        n_routed_experts=32,
        n_shared_experts=1,
        num_experts_per_tok=8,
        first_k_dense_replace=1,
        n_group=8,
        topk_group=4,
    ),
    "Qwen1.5-MoE-A2.7B, 2 layers": config(
        *("qwen2_moe", 2048, 5632, 16, 16, 151936, 2),
        num_experts=60,
        num_experts_per_tok=4,
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
    ),
    "gpt-oss-20b, 2 layers": config(
        *("gpt_oss", 2880, 2880, 64, 8, 201088, 2),
        head_dim=64,
        num_local_experts=32,
        num_experts_per_tok=4,
        sliding_window=128,
    ),
    "Granite-3.1-3B-A800M, 2 layers": config(
        *("granitemoe", 1536, 512, 24, 8, 49155, 2),
        num_local_experts=40,
        num_experts_per_tok=8,
        **_TIED,
    ),
    "OLMoE-1B-7B, 2 layers": config(
        "olmoe", 2048, 1024, 16, 16, 50304, 2, num_experts=64, num_experts_per_tok=8
    ),
    "Phi-3.5-MoE, 2 layers": config(
        "phimoe", 4096, 6400, 32, 8, 32064, 2, num_local_experts=16, num_experts_per_tok=2
    ),
}
ENCODERS: Final[dict[str, dict[str, Any]]] = {
    "DistilBERT": {
        "model_type": "distilbert",
        "dim": 768,
        "hidden_dim": 3072,
        "n_heads": 12,
        "n_layers": 6,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    },
    "XLM-RoBERTa-base": config(
        *("xlm-roberta", 768, 3072, 12, 12, 250002, 12), max_position_embeddings=514
    ),
}
