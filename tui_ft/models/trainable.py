"""How many parameters an adapter trains, and adds, in closed form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tui_ft import text
from tui_ft.models.architecture import Architecture
from tui_ft.models.lora import lora
from tui_ft.models.methods import METHODS, Settings, number
from tui_ft.models.peft_targets import IA3_FEEDFORWARD
from tui_ft.models.pieces import Embedding, Linear, Norm, Piece, Weight
from tui_ft.models.targets import (
    AdapterError,
    UncountableError,
    is_named,
    matching,
    named_targets,
    paths_of,
    saved_whole,
    targets_of,
)


@dataclass(frozen=True, slots=True)
class AdapterCount:
    """What an adapter is.

    Attributes:
        trainable: parameters that are trained.
        added: parameters beside the base model's own, trained or not.
    """

    trainable: int
    added: int


def trainable_parameters(architecture: Architecture, adapter: Mapping[str, Any] | None) -> int:
    """Return the parameters that are trained.

    Args:
        architecture: the model; with `labels`, its head is trained whole.
        adapter: arguments of a peft configuration with its `peft_type`; None trains all weights.

    Raises:
        AdapterError: the method is not known here, or does not fit the model.
    """
    if adapter is None:
        return architecture.parameters
    return adapter_count(architecture, adapter).trainable


def adapter_count(
    architecture: Architecture, adapter: Mapping[str, Any], *, frozen_a: bool = False
) -> AdapterCount:
    """Return the parameters that an adapter trains and adds.

    Args:
        architecture: the model.
        adapter: arguments of a peft configuration with its `peft_type`.
        frozen_a: the optimizer trains the second factor of LoRA only, as LoRA-FA's does.

    Raises:
        AdapterError: the method is not known here, or does not fit the model.
    """
    peft_type = str(adapter.get("peft_type", "")).rpartition(".")[2].upper()
    if peft_type == "LORA":
        trained, frozen = lora(architecture, adapter, frozen_a=frozen_a)
    elif peft_type in _WHOLE:
        trained, frozen = _WHOLE[peft_type](architecture, adapter)
    elif peft_type in METHODS:
        method = METHODS[peft_type]
        found = targets_of(architecture, adapter, peft_type)
        trained = sum(method(one.linear, adapter) * len(one.paths) for one in found)
        trained += _shared(peft_type, adapter)
        frozen = 0
    else:
        shown = text.one_line(peft_type or "an adapter without peft_type", 40)
        raise UncountableError(f"the parameters of {shown} cannot be told without making it")
    copied = _copies(architecture, adapter)
    biases = _biases(architecture, adapter, peft_type)
    return AdapterCount(trained + copied + biases, trained + frozen + copied)


def lora_parameters(
    architecture: Architecture, r: int, targets: str | Collection[str] | None = None
) -> int:
    """Return the parameters of LoRA (arXiv:2106.09685): r times (in + out) for each target.

    Raises:
        AdapterError: it fits no module of the model.
    """
    adapter = {"peft_type": "LORA", "r": r, "target_modules": targets}
    return trainable_parameters(architecture, adapter)


def _shared(peft_type: str, settings: Settings) -> int:
    """Return what is trained once, whatever the modules: VB-LoRA's bank of vectors."""
    if peft_type != "VBLORA":
        return 0
    return number(settings, "num_vectors", 256) * number(settings, "vector_length", 256)


def _copies(architecture: Architecture, adapter: Settings) -> int:
    """Return the parameters of modules that are trained whole, as copies of the base's."""
    names = saved_whole(architecture, adapter)
    total = 0
    for piece in architecture.modules:
        size = piece.parameters
        if isinstance(piece, Linear) and piece.tied:
            size += piece.weights  # the copy is tied to nothing
        total += size * _times_within(piece, names)
    return total


def _times_within(piece: Piece, names: tuple[str, ...]) -> int:
    """Return how often a piece is in a module whose path ends with one of the names."""
    if not names:
        return 0
    inner = 1 if isinstance(piece, Weight) else 0  # the last part of its path is no module
    found = 0
    for path in paths_of(piece):
        parts = path.split(".")
        around = (".".join(parts[:end]) for end in range(1, len(parts) + 1 - inner))
        found += any(module.endswith(names) for module in around)
    return found


def _biases(architecture: Architecture, adapter: Settings, peft_type: str) -> int:
    """Return the base's own biases that are trained: `bias` is all, or lora_only and the like."""
    which = str(adapter.get("bias") or "none")
    if which == "none" or (peft_type in _WHOLE and peft_type != "ADALORA"):
        return 0
    if which == "all":
        names = saved_whole(architecture, adapter)  # their originals are frozen
        return sum(
            _bias_of(piece) * (piece.count - _times_within(piece, names))
            for piece in architecture.modules
        )
    found = targets_of(architecture, adapter, peft_type)
    return sum(_bias_of(one.linear) * len(one.paths) for one in found)


def _bias_of(piece: Piece) -> int:
    if isinstance(piece, Weight):
        return piece.parameters if piece.path.endswith(".bias") else 0
    if isinstance(piece, Embedding) or not piece.bias:
        return 0
    return piece.out_features if isinstance(piece, Linear) else piece.size


def _adalora(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """AdaLoRA (arXiv:2303.10512): both factors and the values between them, at the first rank."""
    r = number(settings, "init_r", 12)
    found = targets_of(architecture, settings, "ADALORA")
    trained = sum(
        r * (one.linear.in_features + one.linear.out_features + 1) * len(one.paths) for one in found
    )
    return trained, sum(len(one.paths) for one in found)  # how many ranks are left: not trained


def _ia3(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """IA3 (arXiv:2205.05638): a scale for each output; for each input of a feed-forward module."""
    forward = settings.get("feedforward_modules")
    if forward is None:
        forward = IA3_FEEDFORWARD.get(architecture.model_type, ())
    trained = 0
    for one in targets_of(architecture, settings, "IA3"):
        linear = one.linear
        into = sum(is_named(path, forward) for path in one.paths)
        trained += into * linear.in_features + (len(one.paths) - into) * linear.out_features
    return trained, 0


def _norms(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """LN tuning (arXiv:2312.11420): a copy of the norms, trained whole."""
    found = tuned_norms(architecture, settings)
    return sum(piece.parameters * len(paths) for piece, paths in found), 0


def tuned_norms(
    architecture: Architecture, settings: Settings
) -> tuple[tuple[Norm | Linear | Embedding, tuple[str, ...]], ...]:
    """Return the modules that LN tuning trains a copy of, each with its paths in the layers.

    Raises:
        AdapterError: nothing is named for this family, nothing matches, or what does has no
            weights.
    """
    named = named_targets(architecture, settings, "LN_TUNING")
    pieces: list[Norm | Linear | Embedding] = [
        piece for piece in architecture.modules if not isinstance(piece, Weight)
    ]
    found = matching(architecture, settings, pieces, named)
    trained = tuple(one for one in found if one[0].parameters)
    if not trained:
        raise AdapterError(
            f"the norms of {architecture.family} have no weights, so layer-norm tuning has nothing "
            "to train: take method.kind lora"
        )
    return trained


def _bottleneck(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Bottleneck adapters (arXiv:1902.00751, section 2.1): 2 m d + d + m for each."""
    size = number(settings, "bottleneck_size", 64)
    found = targets_of(architecture, settings, "BOTTLENECK")
    each = {"houlsby": 2, "pfeiffer": 1}.get(str(settings.get("placement")), 0)
    places = sum(len(one.paths) for one in found)
    if isinstance(settings.get("target_modules"), str) and places != each * architecture.layers:
        raise AdapterError(
            f"{architecture.family} has {places} places for the {each * architecture.layers} "
            "bottleneck adapters: name the projections that they stand behind in target_modules"
        )
    trained = sum((2 * size + 1) * one.linear.out_features * len(one.paths) for one in found)
    return trained + sum(size * len(one.paths) for one in found), 0


def _lily(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Lily (arXiv:2407.09946): one factor shared by neighbouring layers, the others by all."""
    r, heads = number(settings, "r", 32), number(settings, "num_B", 2)
    stride = number(settings, "stride_A", 1)
    groups: dict[tuple[str, int, int], int] = defaultdict(int)
    for one in targets_of(architecture, settings, "LILY"):
        linear = one.linear
        groups[linear.name, linear.in_features, linear.out_features] += len(one.paths)
    trained = 0
    for (_, into, out), count in groups.items():
        trained += -(-count // stride) * r * into + heads * r * out + count * r * heads
    return trained, 0


def _tiny_lora(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """TinyLoRA (arXiv:2602.04118): a vector for each group of modules."""
    found = targets_of(architecture, settings, "TINYLORA")
    modules = sum(len(one.paths) for one in found)
    groups = max(1, round(modules * (1 - float(settings.get("weight_tying", 0.0)))))
    size = max(1, modules // groups)
    used = min(-(-modules // size), groups)
    return used * number(settings, "u", 64), 0


def _uni_lora(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Uni-LoRA (arXiv:2506.00799): one vector for all."""
    targets_of(architecture, settings, "UNILORA")
    return number(settings, "theta_d_length", 256), 0


def _trainable_tokens(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Trainable tokens: some rows of the embedding."""
    return len(settings.get("token_indices") or ()) * architecture.embeddings[0].width, 0


def _adaption_prompt(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """LLaMA-Adapter (arXiv:2303.16199): a prompt and a gate in each of the last layers."""
    layers = number(settings, "adapter_layers", architecture.layers)
    if layers > architecture.layers:
        raise AdapterError(f"the model has {architecture.layers} layers, and not {layers}")
    length = number(settings, "adapter_len", 0)
    if not length:
        raise AdapterError("adapter_len is missing: how long the prompt is, in tokens")
    return layers * (length * architecture.hidden_size + 1), 0


def _prompt_size(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Return virtual tokens and their width."""
    tokens = number(settings, "num_virtual_tokens", 0)
    if not tokens:
        raise AdapterError("num_virtual_tokens is missing: how long the prompt is, in tokens")
    tokens *= number(settings, "num_transformer_submodules", 1)
    return tokens, number(settings, "token_dim", architecture.hidden_size)


def _prompt(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Prompt tuning (arXiv:2104.08691): the embeddings of virtual tokens."""
    tokens, width = _prompt_size(architecture, settings)
    return tokens * width, 0


def _p_tuning(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """P-tuning (arXiv:2103.10385): virtual tokens, and what makes embeddings of them."""
    tokens, width = _prompt_size(architecture, settings)
    hidden = number(settings, "encoder_hidden_size", width)
    kind = str(settings.get("encoder_reparameterization_type", "MLP")).rpartition(".")[2]
    if kind == "MLP":
        encoder = (width + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * width
        return tokens * width + encoder, 0
    layers = number(settings, "encoder_num_layers", 2)
    # Two directions, four gates, two biases of each gate; later layers read both directions.
    recurrent = sum(
        8 * hidden * ((width if layer == 0 else 2 * hidden) + hidden + 2) for layer in range(layers)
    )
    mlp = (2 * hidden + 1) * 2 * hidden + (2 * hidden + 1) * width
    return tokens * width + recurrent + mlp, 0


def _prefix(architecture: Architecture, settings: Settings) -> tuple[int, int]:
    """Prefix tuning (arXiv:2101.00190): keys and values of each layer, projected or not."""
    tokens, given = _prompt_size(architecture, settings)
    tokens = number(settings, "num_virtual_tokens", 0)
    layers = number(settings, "num_layers", architecture.layers)
    heads = number(settings, "num_attention_heads", architecture.heads)
    width = _prefix_width(architecture, given, heads)
    if not settings.get("prefix_projection"):
        return tokens * layers * 2 * width, 0
    hidden = number(settings, "encoder_hidden_size", width)
    projected = (width + 1) * hidden + (hidden + 1) * layers * 2 * width
    return tokens * width + projected, 0


def _prefix_width(architecture: Architecture, width: int, heads: int) -> int:
    """Return the width of keys in a layer, as peft finds it in the configuration."""
    if not architecture.names_kv_heads:
        return width
    if architecture.latent is not None:
        return architecture.kv_heads * architecture.latent.rope_dim
    return architecture.kv_heads * architecture.head_dim


_WHOLE: Final[dict[str, Callable[[Architecture, Settings], tuple[int, int]]]] = {
    "ADALORA": _adalora,
    "ADAPTION_PROMPT": _adaption_prompt,
    "BOTTLENECK": _bottleneck,
    "IA3": _ia3,
    "LILY": _lily,
    "LN_TUNING": _norms,
    "P_TUNING": _p_tuning,
    "PREFIX_TUNING": _prefix,
    "PROMPT_TUNING": _prompt,
    "TINYLORA": _tiny_lora,
    "TRAINABLE_TOKENS": _trainable_tokens,
    "UNILORA": _uni_lora,
}
"""Methods that are counted for the model as a whole: trained, and added but not trained."""
