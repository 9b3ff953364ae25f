"""What is known before any advice: goal, data, model, GPUs. Anything may be unknown.

Each value says how it became known: *measured* (read from data, files or devices), *asked* (a
person said so), or *assumed*. None is not known at all.
"""

from __future__ import annotations

from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from tui_ft.data.checkable import Checkable

How = Literal["measured", "asked", "assumed"]
Goal = Literal[
    "knowledge",
    "style",
    "instruction",
    "domain",
    "reasoning",
    "language",
    "classification",
    "preference",
]
"""What is to change in the model; `style` is style, format, tone and structure, `domain` jargon and
how the domain thinks, `reasoning` coming to answers that a program finds right."""
PromptResult = Literal["solves", "partly", "fails"]
Budget = Literal["low", "medium", "high"]
FactsChange = Literal["none", "rarely", "often"]
"""How often the facts change on which answers rest; `none`: they rest on no facts of one's own."""
ModelKind = Literal["base", "chat", "encoder"]

T = TypeVar("T")

_WEAKEST_LAST: Final[tuple[How, ...]] = ("measured", "asked", "assumed")


class Known(msgspec.Struct, Generic[T], frozen=True):
    """A value, how it became known, and by what."""

    value: T
    how: How
    note: str = ""


def weakest(*hows: How) -> How:
    """Return how a conclusion is known that rests on answers known like these."""
    return max(hows, key=_WEAKEST_LAST.index, default="measured")


class LengthOption(msgspec.Struct, frozen=True, kw_only=True):
    """What a `max_length` does to a data set.

    Attributes:
        rows_cut: share of rows that lose tokens.
        tokens_cut: share of tokens lost.
        sequences: how many sequences hold all rows when they are packed.
    """

    max_length: int
    rows_cut: float
    tokens_cut: float
    sequences: int


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a data set.

    Attributes:
        path: as a run takes it.
        eval: evaluation data, as a run takes them; empty without.
        rows: rows with something to teach.
        format: as in `data.format`.
        objectives: what the rows can teach, the likeliest first.
        quality: 0 to 100.
        faults: the worst findings, in words.
        duplicates: share of rows that say what an earlier one says, or nearly.
        model_generated: share of rows in which a model speaks of itself.
        tokens: of the model, before anything is cut.
        longest: tokens of the longest row.
        supervised_share: share of tokens that carry loss.
        max_length: that covers nearly all rows.
        lengths: what shorter ones do, shortest first; the last cuts nothing or next to nothing.
        columns: `data.columns` as a person mapped them.
        sft_columns: `data.columns` by which answers can be learned from rows made for something
            else; empty where the rows are answers.
        asked_columns: `data.columns` by which plain prompts are asked through a chat template.
        prompt_share: the longest prompt against the longest row, by their characters.
        check: how a program can tell a right answer; None where no way is seen.
    """

    path: str
    eval: str = ""
    rows: Known[int] | None = None
    format: Known[str] | None = None
    objectives: Known[tuple[str, ...]] | None = None
    quality: Known[int] | None = None
    faults: tuple[str, ...] = ()
    duplicates: Known[float] | None = None
    model_generated: Known[float] | None = None
    languages: Known[dict[str, float]] | None = None
    tokens: Known[int] | None = None
    longest: Known[int] | None = None
    supervised_share: Known[float] | None = None
    max_length: Known[int] | None = None
    lengths: tuple[LengthOption, ...] = ()
    columns: dict[str, str] = {}
    sft_columns: dict[str, str] = {}
    asked_columns: dict[str, str] = {}
    prompt_share: Known[float] | None = None
    check: Known[Checkable] | None = None


class SmallerModel(msgspec.Struct, frozen=True):
    """A model of the same family with fewer parameters."""

    name: str
    parameters: int
    config: dict[str, Any]


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model.

    Attributes:
        name: as a run takes it.
        has_template: whether its tokenizer has a chat template.
        plain_template: `model.chat_template` where it has none; empty where none is at hand.
        targets: names of the layers that get a LoRA update, or `all-linear`.
        config: its config.json; None where it could not be had.
        smaller: what to take when it does not fit, largest first.
    """

    name: str
    kind: Known[ModelKind] | None = None
    parameters: Known[int] | None = None
    context: Known[int] | None = None
    family: Known[str] | None = None
    targets: Known[str | tuple[str, ...]] | None = None
    has_template: Known[bool] | None = None
    plain_template: str = ""
    config: dict[str, Any] | None = None
    smaller: tuple[SmallerModel, ...] = ()


class GpuFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU as it is now.

    Attributes:
        free: bytes that a program can have; None where it cannot be read.
        holders: who holds the rest, in words.
    """

    index: int
    name: str
    total: int | None = None
    free: int | None = None
    capability: tuple[int, int] | None = None
    holders: tuple[str, ...] = ()


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known.

    Attributes:
        prompt: what a prompt of under 500 tokens achieves.
        reward: a Python file, an address, or a reward model, as a person names it.
        gpus: an empty tuple is a machine without any.
        hypothetical_gpus: they are not this machine's: a run cannot name them.
        host_memory: bytes of the host that a run can have, on the CPU or for what it offloads; of
            other machines not known unless a person says so.
        flash_attention: whether the package flash-attn is installed.
    """

    goal: Known[Goal] | None = None
    prompt: Known[PromptResult] | None = None
    budget: Known[Budget] | None = None
    facts_change: Known[FactsChange] | None = None
    reward: Known[str] | None = None
    data: DataFacts | None = None
    model: ModelFacts | None = None
    gpus: Known[tuple[GpuFacts, ...]] | None = None
    hypothetical_gpus: bool = False
    host_memory: Known[int] | None = None
    flash_attention: Known[bool] | None = None
