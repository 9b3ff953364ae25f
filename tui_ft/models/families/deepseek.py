"""DeepSeek V2 and V3: latent attention, and experts beside shared ones."""

from __future__ import annotations

from typing import Final

from tui_ft.models.architecture import Architecture, Experts, Latent
from tui_ft.models.families.family import Family
from tui_ft.models.families.llama_like import expert_stack, gated_mlp, head
from tui_ft.models.pieces import Embedding, Layers, Linear, Norm, Piece
from tui_ft.models.values import Values


def deepseek(values: Values, family: Family, labels: int | None) -> Architecture:
    """Lay out a DeepSeek model."""
    hidden, layers = values.size("hidden_size"), values.size("num_hidden_layers")
    heads, vocab = values.size("num_attention_heads"), values.size("vocab_size")
    latent = Latent(
        q_rank=values.optional_size("q_lora_rank"),
        kv_rank=values.size("kv_lora_rank"),
        nope_dim=values.size("qk_nope_head_dim"),
        rope_dim=values.size("qk_rope_head_dim"),
        v_dim=values.size("v_head_dim"),
    )
    experts = _experts(values, layers)
    tied = values.flag("tie_word_embeddings")
    output = head(hidden, vocab, tied=tied, labels=labels)
    modules: list[Piece] = [
        Embedding("model.embed_tokens", vocab, hidden),
        *_attention(values, latent, hidden, heads, range(layers)),
        *_mlps(values, experts, hidden, layers),
        Norm("model.layers.{}.input_layernorm", hidden, layers=range(layers)),
        Norm("model.layers.{}.post_attention_layernorm", hidden, layers=range(layers)),
        Norm("model.norm", hidden),
        output,
    ]
    return Architecture(
        model_type=values.model_type,
        family=family.name,
        hidden_size=hidden,
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_dim=latent.nope_dim + latent.rope_dim,
        intermediate_size=values.size("intermediate_size"),
        vocab_size=vocab,
        max_positions=values.optional_size("max_position_embeddings"),
        tied=tied and labels is None,
        modules=tuple(modules),
        output=output,
        prefix="model.layers.{}.",
        activation=values.word("hidden_act"),
        experts=experts,
        latent=latent,
        labels=labels,
    )


def _experts(values: Values, layers: int) -> Experts | None:
    first = values.optional_size("first_k_dense_replace") or 0
    if first >= layers:
        return None
    size = values.size("moe_intermediate_size")
    return Experts(
        count=values.size("n_routed_experts"),
        per_token=values.size("num_experts_per_tok"),
        size=size,
        layers=range(first, layers),
        shared_size=size * (values.optional_size("n_shared_experts") or 0),
    )


def _attention(
    values: Values, latent: Latent, hidden: int, heads: int, layers: Layers
) -> list[Piece]:
    path, bias = "model.layers.{}.self_attn", values.flag("attention_bias")
    queries = heads * (latent.nope_dim + latent.rope_dim)
    pieces: list[Piece] = []
    if latent.q_rank is None:
        pieces.append(Linear(f"{path}.q_proj", hidden, queries, layers=layers))
    else:
        pieces += [
            Linear(f"{path}.q_a_proj", hidden, latent.q_rank, bias, layers=layers),
            Norm(f"{path}.q_a_layernorm", latent.q_rank, layers=layers),
            Linear(f"{path}.q_b_proj", latent.q_rank, queries, layers=layers),
        ]
    down = latent.kv_rank + latent.rope_dim
    up = heads * (latent.nope_dim + latent.v_dim)
    return [
        *pieces,
        Linear(f"{path}.kv_a_proj_with_mqa", hidden, down, bias, layers=layers),
        Norm(f"{path}.kv_a_layernorm", latent.kv_rank, layers=layers),
        Linear(f"{path}.kv_b_proj", latent.kv_rank, up, layers=layers),
        Linear(f"{path}.o_proj", heads * latent.v_dim, hidden, bias, layers=layers),
    ]


def _mlps(values: Values, experts: Experts | None, hidden: int, layers: int) -> list[Piece]:
    path = "model.layers.{}.mlp"
    plain = range(layers if experts is None else experts.layers[0])
    bias = values.flag("mlp_bias")
    pieces: list[Piece] = []
    if plain:
        pieces += gated_mlp(path, hidden, values.size("intermediate_size"), plain, bias)
    if experts is not None:
        pieces += expert_stack(path, hidden, experts)
        if experts.shared_size:
            shared = f"{path}.shared_experts"
            pieces += gated_mlp(shared, hidden, experts.shared_size, experts.layers, bias)
    return pieces


DEEPSEEKS: Final[dict[str, Family]] = {
    "deepseek_v2": Family(
        "DeepSeek-V2",
        deepseek,
        {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "moe_intermediate_size": 1407,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 102400,
            "max_position_embeddings": 2048,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "first_k_dense_replace": 0,
            "q_lora_rank": 1536,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
        {"n_routed_experts": ("num_experts",)},
    ),
    "deepseek_v3": Family(
        "DeepSeek-V3",
        deepseek,
        {
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "moe_intermediate_size": 2048,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "vocab_size": 129280,
            "max_position_embeddings": 4096,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "n_routed_experts": 256,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "first_k_dense_replace": 3,
            "q_lora_rank": 1536,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
        {"n_routed_experts": ("num_local_experts",)},
    ),
}
