"""BERT and its kin: read in both directions, with a head of a masked language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui_ft.models.architecture import Architecture
from tui_ft.models.families.family import Build, Family
from tui_ft.models.pieces import Embedding, Layers, Linear, Norm, Piece, Weight
from tui_ft.models.values import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the modules are called, as BERT calls them where nothing else is said.

    Attributes:
        qkv: queries, keys and values, in a layer.
        norms: the two of a layer: after the attention, and after the MLP.
        transform: dense layer and norm before the masked language model's head.
        decoder: that head.
        free_bias: where the head's bias is held; the head's own when None.
    """

    root: str
    block: str = "encoder.layer"
    qkv: tuple[str, ...] = ("attention.self.query", "attention.self.key", "attention.self.value")
    out: str = "attention.output.dense"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm")
    transform: tuple[str, str]
    decoder: str
    free_bias: str | None
    activation: str = "hidden_act"
    segments: bool = True


def _encoder(names: _Names) -> Build:
    def build(values: Values, family: Family, labels: int | None) -> Architecture:
        hidden, layers = values.size("hidden_size"), range(values.size("num_hidden_layers"))
        heads, vocab = values.size("num_attention_heads"), values.size("vocab_size")
        inner = values.size("intermediate_size")
        tied = values.flag("tie_word_embeddings")
        prefix = f"{names.root}.{names.block}.{{}}."
        before, output = (
            _masked_head(names, hidden, vocab, tied)
            if labels is None
            else _classifier(names.root, hidden, labels)
        )
        modules: list[Piece] = [
            *_tables(names, values, hidden, vocab),
            *_layers(names, prefix, hidden, inner, layers),
            *before,
            output,
        ]
        return Architecture(
            model_type=values.model_type,
            family=family.name,
            kind="encoder",
            hidden_size=hidden,
            layers=len(layers),
            heads=heads,
            kv_heads=heads,
            head_dim=hidden // heads,
            intermediate_size=inner,
            vocab_size=vocab,
            max_positions=values.optional_size("max_position_embeddings"),
            tied=tied and labels is None,
            modules=tuple(modules),
            output=output,
            prefix=prefix,
            positions="learned",
            norm="layer",
            gated=False,
            activation=values.word(names.activation),
            labels=labels,
        )

    return build


def _tables(names: _Names, values: Values, hidden: int, vocab: int) -> list[Piece]:
    path = f"{names.root}.embeddings."
    found: list[Piece] = [
        Embedding(f"{path}word_embeddings", vocab, hidden),
        Embedding(f"{path}position_embeddings", values.size("max_position_embeddings"), hidden),
        Norm(f"{path}LayerNorm", hidden, bias=True),
    ]
    if names.segments:
        segments = values.optional_size("type_vocab_size") or 0
        found.append(Embedding(f"{path}token_type_embeddings", segments, hidden))
    return found


def _layers(names: _Names, prefix: str, hidden: int, inner: int, layers: Layers) -> list[Piece]:
    return [
        *(Linear(prefix + name, hidden, hidden, True, layers=layers) for name in names.qkv),
        Linear(prefix + names.out, hidden, hidden, True, layers=layers),
        Linear(prefix + names.up, hidden, inner, True, "mlp", layers),
        Linear(prefix + names.down, inner, hidden, True, "mlp", layers),
        *(Norm(prefix + name, hidden, True, layers=layers) for name in names.norms),
    ]


def _masked_head(names: _Names, hidden: int, vocab: int, tied: bool) -> tuple[list[Piece], Linear]:
    dense, norm = names.transform
    before: list[Piece] = [
        Linear(dense, hidden, hidden, True, "head"),
        Norm(norm, hidden, True, part="head"),
    ]
    if names.free_bias is not None:
        before.append(Weight(names.free_bias, (vocab,), "head"))
    own_bias = names.free_bias is None or not tied  # else it is the free one
    return before, Linear(names.decoder, hidden, vocab, own_bias, "head", tied=tied)


def _classifier(root: str, hidden: int, labels: int) -> tuple[list[Piece], Linear]:
    dense, last = {
        "bert": ("bert.pooler.dense", "classifier"),
        "roberta": ("classifier.dense", "classifier.out_proj"),
        "distilbert": ("pre_classifier", "classifier"),
    }[root]
    return (
        [Linear(dense, hidden, hidden, True, "pooler")],
        Linear(last, hidden, labels, True, "head"),
    )


_SIZES: Final = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "tie_word_embeddings": True,
}
_ROBERTA: Final = _encoder(
    _Names(
        root="roberta",
        transform=("lm_head.dense", "lm_head.layer_norm"),
        decoder="lm_head.decoder",
        free_bias="lm_head.bias",
    )
)

ENCODERS: Final[dict[str, Family]] = {
    "bert": Family(
        "BERT",
        _encoder(
            _Names(
                root="bert",
                transform=(
                    "cls.predictions.transform.dense",
                    "cls.predictions.transform.LayerNorm",
                ),
                decoder="cls.predictions.decoder",
                free_bias="cls.predictions.bias",
            )
        ),
        _SIZES,
    ),
    "roberta": Family("RoBERTa", _ROBERTA, {**_SIZES, "vocab_size": 50265}),
    "xlm-roberta": Family("XLM-RoBERTa", _ROBERTA, _SIZES),
    "distilbert": Family(
        "DistilBERT",
        _encoder(
            _Names(
                root="distilbert",
                block="transformer.layer",
                qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
                out="attention.out_lin",
                up="ffn.lin1",
                down="ffn.lin2",
                norms=("sa_layer_norm", "output_layer_norm"),
                transform=("vocab_transform", "vocab_layer_norm"),
                decoder="vocab_projector",
                free_bias=None,
                activation="activation",
                segments=False,
            )
        ),
        {
            **{key: _SIZES[key] for key in ("hidden_size", "num_attention_heads", "vocab_size")},
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            "num_hidden_layers": 6,
            "hidden_dim": 3072,
            "activation": "gelu",
        },
        {
            "hidden_size": ("dim",),
            "num_attention_heads": ("n_heads",),
            "num_hidden_layers": ("n_layers",),
            "intermediate_size": ("hidden_dim",),
        },
    ),
}
