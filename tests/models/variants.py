"""Configurations that set what families can set."""

from __future__ import annotations

from typing import Any, Final

SMALL: Final[dict[str, Any]] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "vocab_size": 160,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
_BIASED: Final = {"attention_bias": True, "mlp_bias": True}
_GROUPED: Final = {"num_key_value_heads": 2, "head_dim": 12}
_MOE: Final = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 40}
_LOCAL_MOE: Final = {"num_local_experts": 4, "num_experts_per_tok": 2}
_LATENT: Final = {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "first_k_dense_replace": 2,
    "n_group": 1,
    "topk_group": 1,
}
_SIGLIP: Final = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
    "model_type": "siglip_vision_model",
}
_USED: Final = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 3}

VARIANTS: Final[tuple[dict[str, Any], ...]] = (
    {"model_type": "llama"},
    {"model_type": "llama", **_BIASED, **_GROUPED, "tie_word_embeddings": True},
    {"model_type": "llama", "num_key_value_heads": None, "head_dim": None},
    {"model_type": "mistral", **_GROUPED, "sliding_window": 16},
    {"model_type": "mixtral", **_GROUPED, **_LOCAL_MOE},
    {"model_type": "qwen2", "num_key_value_heads": 2, "tie_word_embeddings": True},
    {"model_type": "qwen2", **_USED},
    {"model_type": "qwen2_moe", **_MOE, "num_key_value_heads": 2},
    {"model_type": "qwen2_moe", **_MOE, "decoder_sparse_step": 2, "qkv_bias": False, **_USED},
    {"model_type": "qwen3", **_GROUPED, **_USED, "attention_bias": True},
    {"model_type": "qwen3_moe", **_MOE, **_GROUPED},
    {"model_type": "qwen3_moe", **_MOE, "mlp_only_layers": [0, 3], "num_key_value_heads": 4},
    {"model_type": "gemma", **_GROUPED, "attention_bias": True},
    {"model_type": "gemma2", **_GROUPED},
    {"model_type": "gemma3_text", **_GROUPED, "sliding_window_pattern": 3},
    {
        "model_type": "gemma3",
        "text_config": {**SMALL, **_GROUPED},
        "vision_config": {**_SIGLIP, "vision_use_head": False},
    },
    {"model_type": "gemma3", "text_config": {**SMALL}, "vision_config": _SIGLIP},
    {"model_type": "phi", "num_key_value_heads": 2, "qk_layernorm": True},
    {"model_type": "phi3", "num_key_value_heads": 2, "sliding_window": 16},
    {"model_type": "phi3", "tie_word_embeddings": True},
    {"model_type": "phimoe", **_LOCAL_MOE, "attention_bias": True, "lm_head_bias": True},
    {"model_type": "smollm3", **_USED, "num_key_value_heads": 2, **_BIASED},
    {"model_type": "smollm3", **_USED, "no_rope_layers": [0, 1, 1, 0, 1]},
    {"model_type": "olmo", "num_key_value_heads": 2, "attention_bias": True},
    {"model_type": "olmo2", "num_key_value_heads": 2, "attention_bias": True},
    {"model_type": "olmo3", "num_key_value_heads": 2},
    {"model_type": "olmoe", "num_experts": 4, "num_experts_per_tok": 2},
    {"model_type": "granite", **_BIASED, "num_key_value_heads": 2, "tie_word_embeddings": True},
    {"model_type": "granitemoe", **_LOCAL_MOE, "num_key_value_heads": 2},
    {"model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 2},
    {"model_type": "falcon", "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1},
    {"model_type": "falcon", "multi_query": False, "parallel_attn": False, "alibi": True},
    {"model_type": "falcon", "bias": True, "ffn_hidden_size": 100},
    {"model_type": "gpt2", "n_inner": 100},
    {"model_type": "gpt2", "tie_word_embeddings": False},
    {"model_type": "gpt_bigcode", "multi_query": False},
    {"model_type": "gptj"},
    {"model_type": "gpt_neox", "attention_bias": False, "tie_word_embeddings": True},
    {"model_type": "opt", "ffn_dim": 96, "word_embed_proj_dim": 32, "do_layer_norm_before": False},
    {"model_type": "opt", "enable_bias": False, "layer_norm_elementwise_affine": False},
    {"model_type": "opt", "_remove_final_layer_norm": True, "word_embed_proj_dim": 64},
    {"model_type": "bloom", "tie_word_embeddings": False},
    {"model_type": "deepseek_v2", **_LATENT, "mlp_bias": True},
    {"model_type": "deepseek_v2", **_LATENT, "q_lora_rank": None, "attention_bias": True},
    {"model_type": "deepseek_v3", **_LATENT},
    {"model_type": "deepseek_v3", **_LATENT, "first_k_dense_replace": 5},
    {"model_type": "bert", "type_vocab_size": 3},
    {"model_type": "bert", "tie_word_embeddings": False},
    {"model_type": "roberta", "type_vocab_size": 1},
    {"model_type": "xlm-roberta"},
    {"model_type": "distilbert", "hidden_dim": 96, "tie_word_embeddings": False},
    {"model_type": "starcoder2", "num_key_value_heads": 2, "use_bias": False},
    {"model_type": "cohere", "use_qk_norm": True, "num_key_value_heads": 2},
    {"model_type": "cohere2", "num_key_value_heads": 2, "sliding_window_pattern": 3},
    {"model_type": "glm", **_GROUPED},
    {"model_type": "glm4", **_GROUPED, "attention_bias": False},
    {"model_type": "gpt_oss", **_GROUPED, **_LOCAL_MOE},
    {"model_type": "exaone4", "num_key_value_heads": 2},
    {"model_type": "ernie4_5", **_GROUPED, "use_bias": True},
    {"model_type": "arcee", **_GROUPED, **_BIASED},
    {"model_type": "seed_oss", **_GROUPED, "attention_out_bias": True},
    {"model_type": "ministral", **_GROUPED},
    {"model_type": "ministral3", **_GROUPED},
)


def config_of(variant: dict[str, Any]) -> dict[str, Any]:
    """Return a whole configuration: small, but for what the variant sets."""
    return variant if "text_config" in variant else {**SMALL, **variant}


def name_of(variant: dict[str, Any]) -> str:
    """Return what the variant is called in a test's name."""
    return "-".join((variant["model_type"], *(key for key in variant if key != "model_type")))[:80]
