"""Decoders laid out as Llama is: with what sets a family apart from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tui_ft.models.architecture import Architecture, Experts
from tui_ft.models.families.family import Build, Family
from tui_ft.models.families.windows import window_of
from tui_ft.models.pieces import Embedding, Layers, Linear, Norm, Piece, Weight
from tui_ft.models.values import Values

Switch = bool | str
"""Yes or no; or the key of the configuration that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertTraits:
    """How a family's mixtures of experts are laid out.

    Attributes:
        block: the module of a layer that holds router and experts.
        router: its router.
        size: the key with an expert's intermediate size.
        shared: the intermediate size of what every token passes beside the experts.
        shared_path: its module, in the block.
        shared_gate: whether the shared expert has a gate of its own.
        layers: which layers have experts; all when None.
        bias: of experts and router.
    """

    block: str = "mlp"
    router: str = "gate"
    count: str = "num_experts"
    size: str = "moe_intermediate_size"
    shared: Callable[[Values], int] | None = None
    shared_path: str = "shared_expert"
    shared_gate: bool = False
    layers: Callable[[Values, int], Layers] | None = None
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What sets a family apart from Llama.

    Attributes:
        norms: of each layer.
        norm: kind of them all; `none` is a LayerNorm without weights.
        qk_norm: over each head, or over all heads together.
        qk_norm_if: the key of the configuration that says whether they are there.
        qkv: modules of queries, keys and values; one name when they are one module.
        sinks: a number for each head that takes part in its softmax.
        up: modules of the MLP's way up; one name with `gated` when gate and up are one module.
    """

    prefix: str = "model."
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    last_norm: str = "norm"
    norm: Literal["rms", "layer", "none"] = "rms"
    norm_bias: Switch = True
    qk_norm: Literal["head", "whole"] | None = None
    qk_norm_if: str | None = None
    qk_norms: tuple[str, str] = ("q_norm", "k_norm")
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    qkv_bias: Switch = False
    out: str = "o_proj"
    out_bias: Switch = False
    up: tuple[str, ...] = ("gate_proj", "up_proj")
    down: str = "down_proj"
    gated: bool = True
    mlp_bias: Switch = False
    head_bias: Switch = False
    parallel: bool = False
    sinks: bool = False
    activation: str = "hidden_act"
    experts: ExpertTraits | None = None


def llama_like(traits: Traits) -> Build:
    """Return how a family with these traits is laid out."""

    def build(values: Values, family: Family, labels: int | None) -> Architecture:
        hidden, layers = values.size("hidden_size"), values.size("num_hidden_layers")
        heads = values.size("num_attention_heads")
        head_dim = values.optional_size("head_dim") or hidden // heads
        kv_heads = values.optional_size("num_key_value_heads") or heads
        vocab = values.size("vocab_size")
        intermediate = values.size("intermediate_size")
        experts = _experts(values, traits.experts, layers)
        tied = values.flag("tie_word_embeddings")
        output = head(hidden, vocab, tied=tied, labels=labels, bias=_on(values, traits.head_bias))
        window, windowed = window_of(values, family, layers)
        modules: list[Piece] = [
            Embedding(f"{traits.prefix}embed_tokens", vocab, hidden),
            *_attention(values, traits, range(layers), (hidden, heads, kv_heads, head_dim)),
            *_plain_mlps(values, traits, experts, hidden, intermediate, layers),
            *_expert_mlps(traits, experts, hidden),
            *_norms(values, traits, hidden, layers),
            output,
        ]
        return Architecture(
            model_type=values.model_type,
            family=family.name,
            hidden_size=hidden,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            intermediate_size=intermediate,
            vocab_size=vocab,
            max_positions=values.optional_size("max_position_embeddings"),
            tied=tied and labels is None,
            modules=tuple(modules),
            output=output,
            prefix=f"{traits.prefix}layers.{{}}.",
            norm="rms" if traits.norm == "rms" else "layer",
            activation=values.word(traits.activation, "silu"),
            gated=traits.gated,
            parallel=traits.parallel,
            qk_norm=_has_qk_norm(values, traits),
            window=window,
            windowed_layers=windowed,
            experts=experts,
            labels=labels,
        )

    return build


def head(hidden: int, vocab: int, *, tied: bool, labels: int | None, bias: bool = False) -> Linear:
    """Return the head of a decoder: logits of tokens, or scores of labels."""
    if labels is not None:
        return Linear("score", hidden, labels, part="head")
    return Linear("lm_head", hidden, vocab, bias=bias, part="head", tied=tied)


def gated_mlp(
    path: str, hidden: int, size: int, layers: Layers, bias: bool = False
) -> tuple[Linear, ...]:
    """Return gate, up and down projection of Llama's MLP."""
    return (
        Linear(f"{path}.gate_proj", hidden, size, bias, "mlp", layers),
        Linear(f"{path}.up_proj", hidden, size, bias, "mlp", layers),
        Linear(f"{path}.down_proj", size, hidden, bias, "mlp", layers),
    )


def expert_stack(
    block: str, hidden: int, experts: Experts, *, router: str = "gate", bias: bool = False
) -> tuple[Weight, ...]:
    """Return router and experts of a layer, stacked in tensors as transformers 5 holds them."""
    count, size, layers = experts.count, experts.size, experts.layers

    def stack(name: str, *shape: int) -> Weight:
        path = f"{block}.experts.{name}"
        return Weight(path, (count, *shape), "experts", layers, count, experts.per_token)

    found = [
        Weight(f"{block}.{router}.weight", (count, hidden), "router", layers),
        stack("gate_up_proj", 2 * size, hidden),
        stack("down_proj", hidden, size),
    ]
    if bias:
        found += [
            Weight(f"{block}.{router}.bias", (count,), "router", layers),
            stack("gate_up_proj_bias", 2 * size),
            stack("down_proj_bias", hidden),
        ]
    return tuple(found)


def _on(values: Values, switch: Switch) -> bool:
    return values.flag(switch) if isinstance(switch, str) else switch


def _has_qk_norm(values: Values, traits: Traits) -> bool:
    return traits.qk_norm is not None and _on(values, traits.qk_norm_if or True)


def _attention(
    values: Values, traits: Traits, layers: Layers, sizes: tuple[int, int, int, int]
) -> list[Piece]:
    hidden, heads, kv_heads, head_dim = sizes
    path = f"{traits.prefix}layers.{{}}.self_attn"
    widths = [heads * head_dim, kv_heads * head_dim, kv_heads * head_dim]
    if len(traits.qkv) == 1:
        widths = [sum(widths)]
    bias = _on(values, traits.qkv_bias)
    pieces: list[Piece] = [
        Linear(f"{path}.{name}", hidden, width, bias, layers=layers)
        for name, width in zip(traits.qkv, widths, strict=True)
    ]
    out_bias = _on(values, traits.out_bias)
    pieces.append(Linear(f"{path}.{traits.out}", heads * head_dim, hidden, out_bias, layers=layers))
    if traits.sinks:
        pieces.append(Weight(f"{path}.sinks", (heads,), "attention", layers))
    if _has_qk_norm(values, traits):
        whole = traits.qk_norm == "whole"
        bias = traits.norm == "layer" and _on(values, traits.norm_bias)
        for name, count in zip(traits.qk_norms, (heads, kv_heads), strict=True):
            size = head_dim * (count if whole else 1)
            pieces.append(Norm(f"{path}.{name}", size, bias, layers=layers))
    return pieces


def _plain_mlps(
    values: Values,
    traits: Traits,
    experts: Experts | None,
    hidden: int,
    intermediate: int,
    layers: int,
) -> list[Piece]:
    """Return the MLPs of the layers that have no experts."""
    sparse = set(experts.layers) if experts is not None else set()
    plain: Layers = range(layers)
    if sparse:
        plain = tuple(layer for layer in range(layers) if layer not in sparse)
    if not plain:
        return []
    bias = _on(values, traits.mlp_bias)
    path = f"{traits.prefix}layers.{{}}.mlp"
    width = intermediate * (2 if traits.gated and len(traits.up) == 1 else 1)
    ups = [Linear(f"{path}.{name}", hidden, width, bias, "mlp", plain) for name in traits.up]
    return [*ups, Linear(f"{path}.{traits.down}", intermediate, hidden, bias, "mlp", plain)]


def _experts(values: Values, traits: ExpertTraits | None, layers: int) -> Experts | None:
    count = values.optional_size(traits.count) if traits is not None else None
    if traits is None or count is None:
        return None
    which = range(layers) if traits.layers is None else traits.layers(values, layers)
    if not which:
        return None
    return Experts(
        count=count,
        per_token=values.size("num_experts_per_tok"),
        size=values.size(traits.size),
        layers=which,
        shared_size=traits.shared(values) if traits.shared is not None else 0,
    )


def _expert_mlps(traits: Traits, experts: Experts | None, hidden: int) -> list[Piece]:
    if experts is None or traits.experts is None:
        return []
    found = traits.experts
    block = f"{traits.prefix}layers.{{}}.{found.block}"
    pieces: list[Piece] = [
        *expert_stack(block, hidden, experts, router=found.router, bias=found.bias)
    ]
    if experts.shared_size:
        path = f"{block}.{found.shared_path}"
        pieces += gated_mlp(path, hidden, experts.shared_size, experts.layers)
        if found.shared_gate:
            pieces.append(
                Linear(f"{block}.shared_expert_gate", hidden, 1, part="mlp", layers=experts.layers)
            )
    return pieces


def _norms(values: Values, traits: Traits, hidden: int, layers: int) -> list[Piece]:
    bias = traits.norm == "layer" and _on(values, traits.norm_bias)
    affine = traits.norm != "none"
    path = f"{traits.prefix}layers.{{}}."
    of_layers = [Norm(path + name, hidden, bias, affine, range(layers)) for name in traits.norms]
    return [*of_layers, Norm(traits.prefix + traits.last_norm, hidden, bias, affine)]
