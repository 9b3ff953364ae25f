"""What a peft configuration adds to a model: where, how much, and what it does on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tui_ft.models.architecture import Architecture
from tui_ft.models.pieces import Linear, Norm

AdapterKind = Literal["lora", "ia3", "prompt", "prefix", "p_tuning", "norms"]

_KINDS: Final[dict[str, AdapterKind]] = {
    "LORA": "lora",
    "IA3": "ia3",
    "PROMPT_TUNING": "prompt",
    "PREFIX_TUNING": "prefix",
    "P_TUNING": "p_tuning",
    "LN_TUNING": "norms",
}


class UnknownAdapterError(Exception):
    """There is no formula for an adapter; the message is for people."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A peft configuration, as far as memory goes.

    Attributes:
        kind: what it does.
        targets: names of the linear layers that it stands beside; a regular expression as text.
        feedforward: of IA3, the names whose input is scaled.
        rank: of LoRA.
        dropout: of LoRA's input.
        dora: weights are decomposed into magnitude and direction.
        tokens: virtual tokens of a prompt or prefix.
        projected: hidden size of the network that makes a prefix or prompt; 0 without.
    """

    kind: AdapterKind
    targets: tuple[str, ...] | str = ()
    feedforward: tuple[str, ...] = ()
    rank: int = 0
    dropout: float = 0.0
    dora: bool = False
    tokens: int = 0
    projected: int = 0

    def applies(self, piece: Linear, number: int | None = None) -> bool:
        """Tell whether a linear layer gets one."""
        if self.kind not in ("lora", "ia3") or piece.part == "head":
            return False
        if isinstance(self.targets, tuple):
            return piece.name in self.targets or any(
                piece.path.endswith(f".{name}") for name in self.targets
            )
        if self.targets == "all-linear":
            return True
        return re.fullmatch(self.targets, piece.path.format(number or 0)) is not None

    def scales_input(self, piece: Linear) -> bool:
        """Tell whether IA3 scales a layer's input; else its output."""
        return piece.name in self.feedforward

    def shapes(self, model: Architecture) -> Iterator[tuple[int, ...]]:
        """Yield the shapes of all that it trains beside the model's own weights."""
        for piece in model.linears:
            if not self.applies(piece):
                continue
            for _ in range(piece.count):
                yield from self._beside(piece)
        if self.kind == "prompt":
            yield (self.tokens, model.hidden_size)

    def _beside(self, piece: Linear) -> Iterator[tuple[int, ...]]:
        if self.kind == "ia3":
            yield (piece.in_features if self.scales_input(piece) else piece.out_features,)
            return
        yield (self.rank, piece.in_features)
        yield (piece.out_features, self.rank)
        if self.dora:
            yield (piece.out_features,)


def adapter_of(arguments: Mapping[str, Any] | None, model: Architecture) -> Adapter | None:
    """Return what a peft configuration means; None when all weights are trained.

    Raises:
        UnknownAdapterError: there is no formula for it.
    """
    if arguments is None:
        return None
    name = str(arguments.get("peft_type", ""))
    kind = _KINDS.get(name)
    if kind is None:
        raise UnknownAdapterError(f"there is no formula for {name or 'an adapter without peft_type'}")
    return Adapter(
        kind,
        targets=_names(arguments.get("target_modules")),
        feedforward=tuple(arguments.get("feedforward_modules") or ()),
        rank=int(arguments.get("r") or 8),
        dropout=float(arguments.get("lora_dropout") or 0.0),
        dora=bool(arguments.get("use_dora")),
        tokens=int(arguments.get("num_virtual_tokens") or 0),
    )


def _names(value: Any) -> tuple[str, ...] | str:  # noqa: ANN401 - whatever the file holds
    if isinstance(value, str):
        return value
    return tuple(value or ())
