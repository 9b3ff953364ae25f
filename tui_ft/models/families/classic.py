"""Decoders from before Llama, each with a layout of its own: GPT-2 and its heirs, OPT, Falcon."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.models.architecture import Architecture
from tui_ft.models.families.family import Family
from tui_ft.models.families.llama_like import head
from tui_ft.models.pieces import Embedding, Layers, Linear, LinearKind, Norm, Part, Piece
from tui_ft.models.values import Values


class _Layout:
    """Collects the modules of a decoder, and knows the sizes that all of them have."""

    def __init__(self, values: Values, root: str, block: str) -> None:
        self.values = values
        self.hidden = values.size("hidden_size")
        self.layers: Layers = range(values.size("num_hidden_layers"))
        self.heads = values.size("num_attention_heads")
        self.vocab = values.size("vocab_size")
        self.root = root
        self.prefix = f"{root}{block}.{{}}."
        self.modules: list[Piece] = []

    def table(self, name: str, rows: int, width: int | None = None) -> None:
        """Add an embedding."""
        self.modules.append(Embedding(self.root + name, rows, width or self.hidden))

    def linear(
        self,
        name: str,
        into: int,
        out: int,
        bias: bool = True,
        part: Part = "attention",
        kind: LinearKind = "Linear",
    ) -> None:
        """Add a matrix product to every layer."""
        self.modules.append(Linear(self.prefix + name, into, out, bias, part, self.layers, kind))

    def norms(self, *names: str, affine: bool = True) -> None:
        """Add LayerNorms to every layer."""
        self.modules += [
            Norm(self.prefix + name, self.hidden, affine, affine, self.layers) for name in names
        ]

    def norm(self, name: str, affine: bool = True) -> None:
        """Add a LayerNorm that is there once."""
        self.modules.append(Norm(self.root + name, self.hidden, affine, affine))

    def architecture(
        self, family: Family, labels: int | None, *, width: int | None = None, **facts: Any
    ) -> Architecture:
        """Return all of it, with a head; ``facts`` are what is not as in most of these models."""
        tied = self.values.flag("tie_word_embeddings")
        bias = facts.pop("head_bias", False)
        output = head(width or self.hidden, self.vocab, tied=tied, labels=labels, bias=bias)
        defaults: dict[str, Any] = {
            "kv_heads": self.heads,
            "head_dim": self.hidden // self.heads,
            "max_positions": self.values.optional_size("max_position_embeddings"),
            "positions": "learned",
        }
        return Architecture(
            model_type=self.values.model_type,
            family=family.name,
            hidden_size=self.hidden,
            layers=len(self.layers),
            heads=self.heads,
            vocab_size=self.vocab,
            tied=tied and labels is None,
            modules=(*self.modules, output),
            output=output,
            prefix=self.prefix,
            norm="layer",
            gated=False,
            labels=labels,
            **(defaults | facts),
        )


def gpt2(values: Values, family: Family, labels: int | None) -> Architecture:
    """GPT-2: Conv1D modules, queries, keys and values in one."""
    return _gpt(values, family, labels, "Conv1D", values.size("num_attention_heads"))


def gpt_bigcode(values: Values, family: Family, labels: int | None) -> Architecture:
    """StarCoder: GPT-2 with multi-query attention."""
    heads = values.size("num_attention_heads")
    return _gpt(values, family, labels, "Linear", 1 if values.flag("multi_query") else heads)


def _gpt(
    values: Values, family: Family, labels: int | None, kind: LinearKind, kv_heads: int
) -> Architecture:
    layout = _Layout(values, "transformer.", "h")
    hidden = layout.hidden
    inner = values.optional_size("n_inner") or 4 * hidden
    kv_width = kv_heads * (hidden // layout.heads)
    layout.table("wte", layout.vocab)
    layout.table("wpe", values.size("max_position_embeddings"))
    layout.norms("ln_1", "ln_2")
    layout.linear("attn.c_attn", hidden, hidden + 2 * kv_width, kind=kind)
    layout.linear("attn.c_proj", hidden, hidden, kind=kind)
    layout.linear("mlp.c_fc", hidden, inner, part="mlp", kind=kind)
    layout.linear("mlp.c_proj", inner, hidden, part="mlp", kind=kind)
    layout.norm("ln_f")
    return layout.architecture(
        family,
        labels,
        kv_heads=kv_heads,
        intermediate_size=inner,
        activation=values.word("activation_function"),
    )


def gpt_j(values: Values, family: Family, labels: int | None) -> Architecture:
    """GPT-J: attention and MLP side by side, rotary positions."""
    layout = _Layout(values, "transformer.", "h")
    hidden = layout.hidden
    inner = values.optional_size("n_inner") or 4 * hidden
    layout.table("wte", layout.vocab)
    layout.norms("ln_1")
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        layout.linear(f"attn.{name}", hidden, hidden, bias=False)
    layout.linear("mlp.fc_in", hidden, inner, part="mlp")
    layout.linear("mlp.fc_out", inner, hidden, part="mlp")
    layout.norm("ln_f")
    return layout.architecture(
        family,
        labels,
        head_bias=True,
        intermediate_size=inner,
        parallel=True,
        positions="rotary",
        activation=values.word("activation_function"),
    )


def gpt_neox(values: Values, family: Family, labels: int | None) -> Architecture:
    """GPT-NeoX and Pythia: attention and MLP side by side, each with its norm."""
    layout = _Layout(values, "gpt_neox.", "layers")
    hidden, inner = layout.hidden, values.size("intermediate_size")
    bias = values.flag("attention_bias")
    layout.table("embed_in", layout.vocab)
    layout.norms("input_layernorm", "post_attention_layernorm")
    layout.linear("attention.query_key_value", hidden, 3 * hidden, bias)
    layout.linear("attention.dense", hidden, hidden, bias)
    layout.linear("mlp.dense_h_to_4h", hidden, inner, part="mlp")
    layout.linear("mlp.dense_4h_to_h", inner, hidden, part="mlp")
    layout.norm("final_layer_norm")
    return layout.architecture(
        family,
        labels,
        intermediate_size=inner,
        parallel=values.flag("use_parallel_residual"),
        positions="rotary",
        activation=values.word("hidden_act"),
    )


def bloom(values: Values, family: Family, labels: int | None) -> Architecture:
    """BLOOM: ALiBi, and a norm after the embedding."""
    layout = _Layout(values, "transformer.", "h")
    hidden = layout.hidden
    layout.table("word_embeddings", layout.vocab)
    layout.norm("word_embeddings_layernorm")
    layout.norms("input_layernorm", "post_attention_layernorm")
    layout.linear("self_attention.query_key_value", hidden, 3 * hidden)
    layout.linear("self_attention.dense", hidden, hidden)
    layout.linear("mlp.dense_h_to_4h", hidden, 4 * hidden, part="mlp")
    layout.linear("mlp.dense_4h_to_h", 4 * hidden, hidden, part="mlp")
    layout.norm("ln_f")
    return layout.architecture(
        family,
        labels,
        intermediate_size=4 * hidden,
        max_positions=values.optional_size("seq_length"),
        positions="alibi",
        activation="gelu",
    )


def falcon(values: Values, family: Family, labels: int | None) -> Architecture:
    """Falcon: multi-query attention beside the MLP; from 40B on grouped, with two norms."""
    layout = _Layout(values, "transformer.", "h")
    hidden, heads, bias = layout.hidden, layout.heads, values.flag("bias")
    inner = values.optional_size("ffn_hidden_size") or 4 * hidden
    grouped, parallel = values.flag("new_decoder_architecture"), values.flag("parallel_attn")
    kv_heads = heads
    if grouped:
        kv_heads = values.optional_size("num_kv_heads") or heads
    elif values.flag("multi_query"):
        kv_heads = 1
    two = grouped and values.optional_size("num_ln_in_parallel_attn") in (None, 2)
    kind: LinearKind = "FalconLinear"
    fused = hidden + 2 * kv_heads * (hidden // heads)
    layout.table("word_embeddings", layout.vocab)
    layout.linear("self_attention.query_key_value", hidden, fused, bias, kind=kind)
    layout.linear("self_attention.dense", hidden, hidden, bias, kind=kind)
    layout.linear("mlp.dense_h_to_4h", hidden, inner, bias, "mlp", kind)
    layout.linear("mlp.dense_4h_to_h", inner, hidden, bias, "mlp", kind)
    layout.norms(*(("ln_attn", "ln_mlp") if two else ("input_layernorm",)))
    if not parallel:
        layout.norms("post_attention_layernorm")
    layout.norm("ln_f")
    return layout.architecture(
        family,
        labels,
        kv_heads=kv_heads,
        intermediate_size=inner,
        parallel=parallel or grouped,
        positions="alibi" if values.flag("alibi") else "rotary",
        activation=values.word("activation"),
    )


def opt(values: Values, family: Family, labels: int | None) -> Architecture:
    """OPT: learned positions (two more than tokens), and at 350M a narrower embedding."""
    layout = _Layout(values, "model.decoder.", "layers")
    hidden, inner = layout.hidden, values.size("ffn_dim")
    bias, affine = values.flag("enable_bias"), values.flag("layer_norm_elementwise_affine")
    narrow = values.optional_size("word_embed_proj_dim") or hidden
    layout.table("embed_tokens", layout.vocab, narrow)
    layout.table("embed_positions", values.size("max_position_embeddings") + 2)
    if narrow != hidden:
        layout.modules += [
            Linear(f"{layout.root}project_in", narrow, hidden, part="embedding"),
            Linear(f"{layout.root}project_out", hidden, narrow, part="head"),
        ]
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        layout.linear(f"self_attn.{name}", hidden, hidden, bias)
    layout.linear("fc1", hidden, inner, bias, "mlp")
    layout.linear("fc2", inner, hidden, bias, "mlp")
    layout.norms("self_attn_layer_norm", "final_layer_norm", affine=affine)
    if values.flag("do_layer_norm_before") and not values.flag("_remove_final_layer_norm"):
        layout.norm("final_layer_norm", affine)
    return layout.architecture(
        family,
        labels,
        width=narrow,
        intermediate_size=inner,
        activation=values.word("activation_function"),
    )


_GPT2_KEYS: Final = {
    "hidden_size": ("n_embd",),
    "num_hidden_layers": ("n_layer",),
    "num_attention_heads": ("n_head",),
    "max_position_embeddings": ("n_positions",),
}
_GPT2_SIZES: Final = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 50257,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}

CLASSICS: Final[dict[str, Family]] = {
    "gpt2": Family("GPT-2", gpt2, {**_GPT2_SIZES, "activation_function": "gelu_new"}, _GPT2_KEYS),
    "gpt_bigcode": Family(
        "StarCoder",
        gpt_bigcode,
        {**_GPT2_SIZES, "activation_function": "gelu_pytorch_tanh", "multi_query": True},
        _GPT2_KEYS,
    ),
    "gptj": Family(
        "GPT-J",
        gpt_j,
        {
            "hidden_size": 4096,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "vocab_size": 50400,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
            "activation_function": "gelu_new",
        },
        _GPT2_KEYS,
    ),
    "gpt_neox": Family(
        "GPT-NeoX",
        gpt_neox,
        {
            "hidden_size": 6144,
            "intermediate_size": 24576,
            "num_hidden_layers": 44,
            "num_attention_heads": 64,
            "vocab_size": 50432,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "use_parallel_residual": True,
            "hidden_act": "gelu",
        },
    ),
    "bloom": Family(
        "BLOOM",
        bloom,
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "vocab_size": 250880,
            "tie_word_embeddings": True,
        },
        {
            "hidden_size": ("n_embed",),
            "num_hidden_layers": ("n_layer",),
            "num_attention_heads": ("n_head",),
        },
    ),
    "falcon": Family(
        "Falcon",
        falcon,
        {
            "hidden_size": 4544,
            "num_hidden_layers": 32,
            "num_attention_heads": 71,
            "vocab_size": 65024,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "multi_query": True,
            "parallel_attn": True,
            "activation": "gelu",
        },
        {"hidden_size": ("n_embed",)},
    ),
    "opt": Family(
        "OPT",
        opt,
        {
            "hidden_size": 768,
            "ffn_dim": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "vocab_size": 50272,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "enable_bias": True,
            "layer_norm_elementwise_affine": True,
            "do_layer_norm_before": True,
            "activation_function": "relu",
        },
    ),
}
