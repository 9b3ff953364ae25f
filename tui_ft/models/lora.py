"""LoRA and its variants, counted as peft makes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.models.architecture import Architecture
from tui_ft.models.methods import Settings, number
from tui_ft.models.pieces import Embedding, Linear, Weight
from tui_ft.models.targets import (
    ALL_LINEAR,
    AdapterError,
    Target,
    UncountableError,
    is_named,
    matching,
    named_targets,
    paths_of,
    targets_of,
)

_UNKNOWN: Final = ("layer_replication", "monteclora_config", "arrow_config")
_LIKE_MIXTRAL: Final = {
    "gate": "gate.weight",
    "w1": "gate_up_proj",
    "w3": "gate_up_proj",
    "w2": "down_proj",
}
_LIKE_QWEN2_MOE: Final = {
    "gate": "gate.weight",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
    "down_proj": "down_proj",
}
_STACKED: Final[dict[str, dict[str, str]]] = {
    "mixtral": _LIKE_MIXTRAL,
    **dict.fromkeys(("qwen3_moe", "olmoe", "deepseek_v2", "deepseek_v3"), _LIKE_QWEN2_MOE),
}
"""Where transformers 5 stacks experts and peft 0.21 finds them again under their former names
(`peft.utils.transformers_weight_conversion`)."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What LoRA sits on.

    Attributes:
        doubled: names of stacks that stand for two modules.
    """

    modules: tuple[Target, ...]
    tables: list[Embedding]
    stacks: list[Weight]
    doubled: set[str]


def lora(
    architecture: Architecture, adapter: Settings, *, frozen_a: bool = False
) -> tuple[int, int]:
    """Return what LoRA (arXiv:2106.09685) trains, and what it adds beside and freezes.

    Args:
        architecture: the model.
        adapter: arguments of the peft configuration.
        frozen_a: its optimizer trains the second factor only: LoRA-FA (arXiv:2308.03303).

    Raises:
        AdapterError: a variant that is not known here, or it fits no module of the model.
    """
    for name in _UNKNOWN:
        if adapter.get(name):
            raise UncountableError(
                f"the parameters of LoRA with {name} cannot be told without making it"
            )
    found = _targets(architecture, adapter)
    trained = frozen = 0
    alike = not adapter.get("rank_pattern")
    for target in found.modules:
        for path in target.paths[:1] if alike else target.paths:
            one, fixed = _of_module(target.linear, path, adapter, frozen_a)
            times = len(target.paths) if alike else 1
            trained += one * times
            frozen += fixed * times
    trained += sum(
        _of_stack(weight, path, adapter, 2 if weight.name in found.doubled else 1)
        for weight in found.stacks
        for path in paths_of(weight)
    )
    trained += sum(_of_table(table, adapter) for table in found.tables)
    return trained + _tokens(architecture, adapter), frozen


def _targets(architecture: Architecture, adapter: Settings) -> _Found:
    parameters = set(adapter.get("target_parameters") or ())
    named: str | Collection[str] = ()
    if adapter.get("target_modules") is not None or not parameters:
        named = named_targets(architecture, adapter, "LORA")
    doubled: set[str] = set()
    former = _STACKED.get(architecture.model_type)
    if former is not None:
        named, found, doubled = _renamed(architecture, adapter, named, former)
        parameters |= found
    stacks = [
        piece
        for piece in architecture.modules
        if isinstance(piece, Weight) and any(piece.path.endswith(f".{name}") for name in parameters)
    ]
    _refuse_variants_of_stacks(adapter, stacks)
    tables = _named_tables(architecture, adapter, named)
    try:
        modules = targets_of(architecture, {**adapter, "target_modules": named})
    except AdapterError:
        if not stacks and not tables:
            raise
        modules = ()
    return _Found(modules, tables, stacks, doubled)


def _named_tables(
    architecture: Architecture, adapter: Settings, named: str | Collection[str]
) -> list[Embedding]:
    """Return the embeddings that are named: `all-linear` names none."""
    if isinstance(named, str) and named.lower() == ALL_LINEAR:
        return []
    try:
        found = matching(architecture, adapter, architecture.embeddings, named)
    except AdapterError:
        return []
    return [table for table, _ in found]


def _of_table(table: Embedding, adapter: Settings) -> int:
    """Return what an embedding trains: its rows are the inputs, its width the outputs."""
    r = _rank(table.path, adapter)
    return r * (table.rows + table.width) + (table.width if adapter.get("use_dora") else 0)


def _refuse_variants_of_stacks(adapter: Settings, stacks: Collection[Weight]) -> None:
    """Raise where peft does: it adapts stacked experts by plain LoRA only."""
    asked = [name for name in ("use_dora", "lora_bias", "lora_dropout") if adapter.get(name)]
    if stacks and asked:
        raise AdapterError(
            f"peft adapts experts by plain LoRA only: do without {', '.join(asked)}, or name "
            "target_modules that are no experts"
        )


def _renamed(
    architecture: Architecture,
    adapter: Settings,
    named: str | Collection[str],
    former: Mapping[str, str],
) -> tuple[Collection[str], set[str], set[str]]:
    """Return the modules that are left, the parameters in place of others, and the double ones."""
    if isinstance(named, str):
        found = targets_of(architecture, {**adapter, "target_modules": named})
        names = {target.linear.name for target in found}
        names |= (
            set(former)
            if named.lower() == ALL_LINEAR
            else _former_names(architecture, named, former)
        )
    else:
        names = set(named)
    replaced = {
        name: next((old for old in former if name == old or name.endswith(f".{old}")), None)
        for name in names
    }
    left = {name for name, old in replaced.items() if old is None}
    taken = {old for old in replaced.values() if old is not None}
    halves = {old for old in former if former[old] == "gate_up_proj"}
    if halves & taken and not halves <= taken:
        missing = ", ".join(sorted(halves - taken))
        raise AdapterError(
            f"{', '.join(sorted(halves & taken))} cannot be a target without {missing}: experts "
            "hold them in one"
        )
    doubled = {"gate_up_proj"} if halves <= taken else set()
    return left, {former[old] for old in taken}, doubled


def _former_names(architecture: Architecture, pattern: str, former: Mapping[str, str]) -> set[str]:
    """Return the former modules that a pattern means, by the paths that they had."""
    found = set()
    for piece in architecture.modules:
        if not isinstance(piece, Weight):
            continue
        for old, new in former.items():
            if not piece.path.endswith(f".{new}"):
                continue
            places = (path.removesuffix(new) + old for path in paths_of(piece))
            if any(is_named(place, pattern) for place in places):
                found.add(old)
    return found


def _of_module(linear: Linear, path: str, adapter: Settings, frozen_a: bool) -> tuple[int, int]:
    """Return what one module trains, and what is frozen of it."""
    r = _rank(path, adapter)
    into, out = linear.in_features, linear.out_features
    first, second = r * into, r * out
    blocks = adapter.get("use_bdlora")
    if isinstance(blocks, Mapping):
        # Block-diagonal factors (arXiv:2510.23346): each block has its share of both sides.
        count = number(blocks, "nblocks", 1)
        if any(name in path for name in blocks.get("target_modules_bd_a") or ()):
            first //= count
        elif any(name in path for name in blocks.get("target_modules_bd_b") or ()):
            second //= count
    if adapter.get("lora_bias"):
        second += out
    if adapter.get("use_dora"):
        second += out  # arXiv:2402.09353: a magnitude for each output
    if adapter.get("kasa_config"):
        first += r  # arXiv:2412.06071: values between the factors
    if str(adapter.get("init_lora_weights")).lower() == "mica":
        return first, second  # arXiv:2604.01694: the second factor is frozen
    if frozen_a:
        return second, first
    return first + second, 0


def _of_stack(weight: Weight, path: str, adapter: Settings, times: int) -> int:
    """Return what a stack of experts trains: a pair of factors for each of them."""
    r = _rank(path, adapter) * times
    *stack, rows, columns = weight.shape
    return r * (stack[0] if stack else 1) * (rows + columns)


def _rank(path: str, adapter: Settings) -> int:
    patterns: Mapping[str, Any] = adapter.get("rank_pattern") or {}
    for pattern in patterns:
        if re.match(rf"(.*\.)?({pattern})$", path):
            return number(patterns, pattern, 8)
    return number(adapter, "r", 8)


def _tokens(architecture: Architecture, adapter: Settings) -> int:
    """Return the rows of embeddings that are trained beside LoRA."""
    given = adapter.get("trainable_token_indices")
    if not given:
        return 0
    if not isinstance(given, Mapping):
        return len(given) * architecture.embeddings[0].width
    widths = {table.name: table.width for table in architecture.embeddings}
    return sum(
        len(rows) * widths.get(name, architecture.hidden_size) for name, rows in given.items()
    )
