"""What models of some families cannot be trained with, told by their configuration.

A run finds it out on the model itself, once that is loaded; these tables say it before. They are
compared with the models in `tests/train/test_limits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tui_ft.models.architecture import Architecture
from tui_ft.models.reading import architecture_of
from tui_ft.models.values import ArchitectureError

WITHOUT_POSITIONS: Final = frozenset(
    (
        *("bart", "blenderbot", "bloom", "falcon_mamba", "mamba", "mamba2", "mbart", "mpt"),
        *("pegasus", "roformer", "rwkv", "xlnet", "xlstm"),
    )
)
"""Whose `forward` takes no positions, by which texts that share a row are told apart."""
READS_ACROSS: Final = frozenset(
    (
        *("afmoe", "bamba", "biogpt", "falcon", "gpt_oss", "granitemoehybrid", "jamba", "minimax"),
        *("nemotron_h", "olmo_hybrid", "openai-gpt", "opt", "qwen3_5_moe_text", "qwen3_5_text"),
        *("qwen3_next", "recurrent_gemma", "xglm", "zamba", "zamba2"),
    )
)
"""Which take positions and do not hand them to their mask, or carry a state from text to text."""
_SHARES_LAYERS: Final = frozenset(("albert", "funnel", "hrm_text", "longcat_flash"))
"""Whose layers are no list as long as their configuration says."""
_WITHOUT_EMBEDDINGS: Final = frozenset(("canine", "perceiver"))
"""Whose inputs come from no table of embeddings: they read characters, or bytes."""
_WITHOUT_WEIGHTS_IN_NORMS: Final = frozenset(("hrm_text", "nanochat", "olmo"))
_ENCODER_DECODERS: Final = frozenset(
    (
        *("bart", "bigbird_pegasus", "led", "mbart", "mt5", "mvp", "plbart", "t5", "t5gemma"),
        *("t5gemma2", "umt5"),
    )
)


def reads_across(config: Mapping[str, Any], *, with_flash: bool) -> bool:
    """Tell whether a text is known to change the one behind it in the same row.

    Args:
        config: the values of a model's config.json.
        with_flash: FlashAttention tells texts apart by itself: then a model that takes positions
            has to be tried.
    """
    known = WITHOUT_POSITIONS if with_flash else WITHOUT_POSITIONS | READS_ACROSS
    return any(kind in known for kind in _kinds(config))


def why_not_frozen(
    config: Mapping[str, Any], layers: int, *, scores: bool
) -> tuple[str, str] | None:
    """Return why not all but the last ``layers`` can be frozen, and what to do; None if they can.

    Args:
        config: the values of a model's config.json.
        layers: how many are to be trained.
        scores: it gets a head that scores: a model that writes has its decoder alone.
    """
    kinds = set(_kinds(config))
    both = bool(config.get("is_encoder_decoder")) or bool(kinds & _ENCODER_DECODERS)
    if scores and both:
        said = "method.kind freeze knows the last layers of one stack, and the model has an encoder"
        return f"{said} and a decoder", "set method.kind to full or lora"
    if kinds & _WITHOUT_EMBEDDINGS:
        said = "method.kind freeze holds a model's embeddings, and this one has no table of them"
        return f"{said}: it reads characters, or bytes", "set method.kind to full or lora"
    if kinds & _SHARES_LAYERS:
        said = "method.kind freeze trains the last of a list of layers, and this model has none"
        return f"{said}: they share weights, or stand otherwise", "set method.kind to full or lora"
    found = _architecture(config)
    if found is not None and layers > found.layers:
        said = f"method.num_trainable_layers is {layers}, and the model has {found.layers} layers"
        return said, f"set it to {found.layers} or less"
    return None


def why_no_norms(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why layer-norm tuning has nothing to train, and what to do; None if it has."""
    if not _WITHOUT_WEIGHTS_IN_NORMS & set(_kinds(config)):
        return None
    said = "the norms of this model have no weights: layer-norm tuning has nothing to train"
    return said, "take method.kind lora"


def why_no_bottleneck(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why layers have no place for bottleneck adapters, and what to do; None if they may."""
    found = _architecture(config)
    if found is None or found.experts is None:
        return None
    said = "the model is a mixture of experts: bottleneck adapters have no place behind such an MLP"
    return said, "take method.kind lora, or name projections in method.target_modules"


def _kinds(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the types of a model and of what of it reads text."""
    yield str(config.get("model_type"))
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        yield str(inner.get("model_type"))


def _architecture(config: Mapping[str, Any]) -> Architecture | None:
    try:
        return architecture_of(config)
    except ArchitectureError:
        return None
