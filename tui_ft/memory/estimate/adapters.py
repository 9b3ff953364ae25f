"""What a peft configuration adds to a model: where, how much, and what it does on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tui_ft.models.architecture import Architecture
from tui_ft.models.peft_targets import IA3_FEEDFORWARD
from tui_ft.models.pieces import Linear
from tui_ft.models.targets import targets_of
from tui_ft.models.trainable import tuned_norms

AdapterKind = Literal["lora", "ia3", "bottleneck", "prompt", "prefix", "p_tuning", "norms"]

_KINDS: Final[dict[str, AdapterKind]] = {
    "LORA": "lora",
    "ADALORA": "lora",
    "IA3": "ia3",
    "BOTTLENECK": "bottleneck",
    "PROMPT_TUNING": "prompt",
    "PREFIX_TUNING": "prefix",
    "P_TUNING": "p_tuning",
    "LN_TUNING": "norms",
}
_BESIDE: Final = ("lora", "ia3", "bottleneck")


class UnknownAdapterError(Exception):
    """There is no formula for an adapter; the message is for people."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A peft configuration, as far as memory goes.

    Attributes:
        kind: what it does.
        targets: how many layers of each linear module have one, by the module's path; of norms,
            those that are trained.
        inputs: of IA3, the paths whose input is scaled.
        rank: of LoRA; of bottleneck adapters, the width of their middle.
        dropout: of LoRA's input.
        relu: a bottleneck's non-linearity is relu, which keeps what it gives.
        dora: weights are decomposed into magnitude and direction.
        tokens: virtual tokens of a prompt or prefix.
        projected: hidden size of the network that makes them; 0 without one.
        saved: names of modules that are trained whole.
        layer_numbers: the layers that have one; None for all.
    """

    kind: AdapterKind
    targets: Mapping[str, int] = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    rank: int = 0
    dropout: float = 0.0
    relu: bool = False
    dora: bool = False
    tokens: int = 0
    projected: int = 0
    saved: tuple[str, ...] = ()
    layer_numbers: frozenset[int] | None = None

    def applies(self, piece: Linear, number: int) -> bool:
        """Tell whether a linear module of a layer has one."""
        if piece.path not in self.targets:
            return False
        return self.layer_numbers is None or number in self.layer_numbers

    def shapes(self, piece: Linear) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of what stands beside one linear module."""
        if self.kind == "ia3":
            scaled = piece.in_features if piece.path in self.inputs else piece.out_features
            return ((scaled,),)
        if self.kind == "bottleneck":
            out = piece.out_features
            return ((self.rank, out), (self.rank,), (out, self.rank), (out,))
        low_rank = ((self.rank, piece.in_features), (piece.out_features, self.rank))
        return (*low_rank, (piece.out_features,)) if self.dora else low_rank

    def own_shapes(self, model: Architecture) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of what stands beside no module: prompts, and what makes them."""
        size, inner = model.hidden_size, self.projected
        match self.kind:
            case "prompt":
                return ((self.tokens, size),)
            case "prefix":
                keys = 2 * model.layers * model.kv_heads * model.head_dim
                if not inner:
                    return ((self.tokens, keys),)
                table = (self.tokens, keys // (2 * model.layers))
                return (table, (inner, table[1]), (inner,), (keys, inner), (keys,))
            case "p_tuning":
                network = ((inner, size), (inner,), (inner, inner), (inner,), (size, inner))
                return ((self.tokens, size), *network, (size,))
            case _:
                return ()


def adapter_of(arguments: Mapping[str, Any] | None, model: Architecture) -> Adapter | None:
    """Return what a peft configuration means; None when all weights are trained.

    Raises:
        UnknownAdapterError: there is no formula for it.
        AdapterError: it fits no module of the model.
    """
    if arguments is None:
        return None
    name = str(arguments.get("peft_type", "")).rpartition(".")[2].upper()
    kind = _KINDS.get(name)
    if kind is None:
        raise UnknownAdapterError(f"there is no formula for {name or 'an adapter without a type'}")
    projected = int(arguments.get("encoder_hidden_size") or model.hidden_size)
    if kind == "prefix" and not arguments.get("prefix_projection"):
        projected = 0
    targets, inputs, layers = _targets(arguments, model, kind)
    return Adapter(
        kind,
        targets=targets,
        inputs=inputs,
        rank=_rank(arguments, kind),
        dropout=float(arguments.get("lora_dropout") or 0.0),
        relu=arguments.get("non_linearity") == "relu",
        dora=bool(arguments.get("use_dora")),
        tokens=int(arguments.get("num_virtual_tokens") or 0),
        projected=projected if kind in ("prefix", "p_tuning") else 0,
        saved=tuple(arguments.get("modules_to_save") or ()),
        layer_numbers=layers,
    )


def _rank(arguments: Mapping[str, Any], kind: AdapterKind) -> int:
    if kind == "bottleneck":
        return int(arguments.get("bottleneck_size") or 64)
    return int(arguments.get("init_r") or arguments.get("r") or 8)


def _targets(
    arguments: Mapping[str, Any], model: Architecture, kind: AdapterKind
) -> tuple[dict[str, int], frozenset[str], frozenset[int] | None]:
    """Return the target modules, those of which IA3 scales the input, and in which layers."""
    if kind == "norms":
        found_norms = tuned_norms(model, arguments)
        return {piece.path: len(paths) for piece, paths in found_norms}, frozenset(), None
    if kind not in _BESIDE:
        return {}, frozenset(), None
    found = targets_of(model, arguments, kind.upper())
    targets = {target.linear.path: len(target.paths) for target in found}
    ends = arguments.get("feedforward_modules")
    if ends is None:
        ends = IA3_FEEDFORWARD.get(model.model_type, ())
    inputs = frozenset(
        path for path in targets if any(path == end or path.endswith(f".{end}") for end in ends)
    )
    some = [target for target in found if len(target.paths) < target.linear.count]
    if not some:
        return targets, inputs, None
    return targets, inputs, frozenset(_number(path, some[0].linear) for path in some[0].paths)


def _number(path: str, linear: Linear) -> int:
    start = linear.path.index("{}")
    return int(path[start:].partition(".")[0])
