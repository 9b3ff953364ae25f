"""What surveys, configurations and devices say, as the situation that advice starts from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

import msgspec

from tui_ft import text
from tui_ft.advise.situation import (
    DataFacts,
    GpuFacts,
    How,
    Known,
    LengthOption,
    ModelFacts,
    ModelKind,
    SmallerModel,
)
from tui_ft.data import Detection, Row
from tui_ft.data.checkable import asked_columns, checkable, prompt_share
from tui_ft.hardware.snapshot import Gpu
from tui_ft.memory.asked_cards import asked_cards
from tui_ft.memory.cards import Card
from tui_ft.models.architecture import Architecture
from tui_ft.models.catalogue import CatalogueEntry
from tui_ft.models.reading import architecture_of
from tui_ft.models.values import ArchitectureError
from tui_ft.survey.tokens import TokenSummary, packed_sequences
from tui_ft.survey.verdict import Verdict

_FAULTS: Final = 3
_EXACT: Final = "exact-duplicate"
_WORST_PARTS: Final = 1.0
_UNSPACED: Final = ("zh", "ja", "th", "km", "lo", "my")
_SOME_UNSPACED: Final = 0.1
_TOKENS_A_WORD: Final = 2.0
"""At the 99th percentile: 1.4 in English prose (alpaca), 2.0 in worked sums (gsm8k)."""
_TEMPLATE_TOKENS: Final = 32
_STEP: Final = 64
_SAME_VOCABULARY: Final = 0.01
_SHORTEST: Final = 128
_SHORTER: Final = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_CHAT_NAME: Final = re.compile(
    r"(?:^|[-_./])(?:instruct|chat|it|sft|dpo|rlhf|assistant|zephyr|tulu|hermes)(?:$|[-_./\d])",
    re.I,
)
_BASE_NAME: Final = re.compile(r"(?:^|[-_./])(?:base|pt|pretrained)(?:$|[-_./])", re.I)
_TEMPLATE_ON_BASE: Final = re.compile(r"qwen(?:1\.5|2|2\.5)(?:-|$)", re.I)
"""Families whose base models come with a chat template all the same."""


_TYPICAL: Final = {
    "12 GB": "an RTX 3080",
    "16 GB": "an RTX 4080",
    "24 GB": "an RTX 4090",
    "40 GB": "an A100",
    "48 GB": "an L40S",
    "80 GB": "an H100",
    "96 GB": "an RTX PRO 6000",
    "141 GB": "an H200",
}
"""The card that a size is taken for: how fast it is has to come from somewhere."""


def data_facts(
    path: str,
    verdict: Verdict,
    tokens: TokenSummary | None,
    sft_columns: Mapping[str, str] | None = None,
    words_at: Mapping[int, int] | None = None,
    evaluation: str = "",
    columns: Mapping[str, str] | None = None,
) -> DataFacts:
    """Return what a survey says of a data set.

    Args:
        path: as a run takes it.
        verdict: of the survey.
        tokens: as the model sees them, counted to the end; None where they were not.
        sft_columns: by which answers can be learned from rows made for something else.
        evaluation: data to examine it on, as a run takes them; empty without.
        columns: as a person mapped them.
        words_at: percentile -> words in a row, to guess lengths by where tokens were not counted.
    """
    supervised = None
    if verdict.tokens and verdict.supervised_tokens is not None:
        supervised = Known(verdict.supervised_tokens / verdict.tokens, "measured")
    length = verdict.length
    worst = [part for part in verdict.quality.parts if part.points >= _WORST_PARTS]
    generated = verdict.model_generated
    exact = next((p.share for p in verdict.quality.parts if p.finding == _EXACT), 0.0)
    return DataFacts(
        path=path,
        eval=evaluation,
        rows=Known(verdict.usable, "measured"),
        format=Known(verdict.format, "measured") if verdict.format else None,
        objectives=Known(tuple(c.objective for c in verdict.candidates), "measured"),
        quality=Known(verdict.quality.score, "measured"),
        faults=tuple(f"{p.name} ({text.percent(p.share)})" for p in worst[:_FAULTS]),
        duplicates=Known(min(1.0, exact + (verdict.near_duplicates or 0.0)), "measured"),
        model_generated=Known(generated, "measured", "rows in which a model speaks of itself"),
        languages=Known(dict(verdict.languages), "measured") if verdict.languages else None,
        tokens=None if verdict.tokens is None else Known(verdict.tokens, "measured"),
        longest=Known(max(tokens.lengths), "measured") if tokens and tokens.lengths else None,
        supervised_share=supervised,
        max_length=_guessed_length(verdict, words_at or {})
        if length is None
        else Known(length.max_length, "measured", length.reason),
        lengths=() if length is None or tokens is None else _options(tokens, length.max_length),
        columns=dict(columns or {}),
        sft_columns=dict(sft_columns or {}),
    )


def with_prompts(known: DataFacts, rows: Sequence[Row], detection: Detection) -> DataFacts:
    """Return what is known of a data set with how its prompts are asked, and answers checked.

    Args:
        known: so far.
        rows: the first of it; at least one.
        detection: their format.
    """
    check = checkable(rows, detection)
    asks = detection.format in ("prompt_only", "prompt_completion", "preference", "kto")
    columns = detection.columns if asks else {}
    share = prompt_share(rows, detection)
    return msgspec.structs.replace(
        known,
        check=None if check is None else Known(check, "measured"),
        asked_columns=asked_columns(rows, columns),
        prompt_share=None if share is None else Known(share, "assumed"),
    )


def _guessed_length(verdict: Verdict, words_at: Mapping[int, int]) -> Known[int] | None:
    """Return a length by words; None for languages that put no space between them."""
    if "tools" in verdict.style:
        return None  # what they are described by is more than what is said, and is in no count
    unspaced = sum(verdict.languages.get(name, 0.0) for name in _UNSPACED)
    words = words_at.get(99, 0)
    if not words or unspaced > _SOME_UNSPACED:
        return None
    length = _STEP * math.ceil((words * _TOKENS_A_WORD + _TEMPLATE_TOKENS) / _STEP)
    why = f"no tokenizer is at hand: {words:,} words at the 99th percentile, 2 tokens each"
    return Known(max(_SHORTEST, length), "assumed", why)


def _options(tokens: TokenSummary, best: int) -> tuple[LengthOption, ...]:
    lengths = sorted({*(length for length in _SHORTER if length < best), best})
    found = []
    for length in lengths:
        cut = tokens.at(length)
        found.append(
            LengthOption(
                max_length=length,
                rows_cut=cut.rows_share,
                tokens_cut=cut.tokens_share,
                sequences=packed_sequences(tokens.lengths, length),
            )
        )
    return tuple(found)


def model_facts(
    name: str,
    config: Mapping[str, Any] | None,
    *,
    has_template: bool | None = None,
    plain_template: str = "",
    entry: CatalogueEntry | None = None,
    smaller: tuple[SmallerModel, ...] = (),
) -> ModelFacts:
    """Return what a model's configuration and name say of it.

    Args:
        name: as a run takes it.
        config: its config.json; None where it cannot be had.
        has_template: whether its tokenizer has a chat template; None where nobody looked.
        plain_template: `model.chat_template` where it has none.
        entry: what the catalogue of well-known models says of it.
        smaller: models of its family with fewer parameters.
    """
    architecture = _architecture(config)
    kind = _kind(name, architecture, has_template, entry)
    template = None if has_template is None else Known(has_template, "measured")
    known = ModelFacts(
        name=name,
        kind=kind,
        has_template=template,
        plain_template=plain_template,
        config=dict(config) if config else None,
        smaller=smaller,
    )
    if architecture is None:
        return known
    how: How = "assumed" if architecture.guessed else "measured"
    context = architecture.max_positions
    return msgspec.structs.replace(
        known,
        parameters=Known(architecture.parameters, how),
        context=None if context is None else Known(context, "measured"),
        family=Known(architecture.family, how),
        targets=_targets(architecture),
    )


def _architecture(config: Mapping[str, Any] | None) -> Architecture | None:
    if config is None:
        return None
    try:
        return architecture_of(config)
    except ArchitectureError:
        return None


def _kind(
    name: str,
    architecture: Architecture | None,
    has_template: bool | None,
    entry: CatalogueEntry | None,
) -> Known[ModelKind] | None:
    """Tell base models from chat models: by name, then by the chat template, which is no proof."""
    is_encoder = architecture is not None and architecture.kind == "encoder"
    on_hub = "/" in name and not name.startswith((".", "/", "~"))
    signs: tuple[tuple[object, ModelKind, How, str], ...] = (
        (is_encoder, "encoder", "measured", "an encoder by its configuration"),
        (entry and entry.chat, "chat", "measured", "a chat model by ftui's catalogue"),
        (entry and not entry.chat, "base", "measured", "a base model by ftui's catalogue"),
        (_BASE_NAME.search(name), "base", "assumed", "its name says so"),
        (_CHAT_NAME.search(name), "chat", "assumed", "its name says so"),
        (has_template is False, "base", "measured", "its tokenizer has no chat template"),
        (
            _TEMPLATE_ON_BASE.search(name),
            "base",
            "assumed",
            "this family's chat models say `Instruct`",
        ),
        (has_template, "chat", "assumed", "its tokenizer has a chat template"),
        (on_hub, "base", "assumed", "its name does not say that it was tuned to chat"),
    )
    for holds, kind, how, note in signs:
        if holds:
            return Known(kind, how, note)
    return None


def _targets(architecture: Architecture) -> Known[str | tuple[str, ...]]:
    """Return the layers that get a LoRA update.

    All linear ones of a decoder; of an encoder the queries and values (Part 3, 3). In a mixture of
    experts those of the attention: routers are better left alone, and the experts of transformers 5
    are no linear layers.
    """
    if architecture.kind == "encoder":
        return Known(("query", "value"), "measured", "queries and values of an encoder")
    if architecture.experts is not None:
        names = {one.name for one in architecture.linears if one.part == "attention"}
        return Known(tuple(sorted(names)), "measured", "the attention of a mixture of experts")
    return Known("all-linear", "measured", "all linear layers")


def smaller_models(
    entry: CatalogueEntry, catalogue: Mapping[str, CatalogueEntry]
) -> tuple[SmallerModel, ...]:
    """Return the smaller models of a well-known one's family and kind, largest first.

    They are of the same maker and type and share its vocabulary, or nearly (Qwen rounds it by
    size); of several with one size, the one whose name is most like it.
    """
    by_size: dict[int, CatalogueEntry] = {}
    for other in catalogue.values():
        size = other.parameters or 0
        if not size or not _is_sibling(entry, other):
            continue
        best = by_size.get(size)
        if best is None or _likeness(entry, other) >= _likeness(entry, best):
            by_size[size] = other
    smaller = sorted((size for size in by_size if size < (entry.parameters or 0)), reverse=True)
    return tuple(SmallerModel(by_size[n].id, n, dict(by_size[n].config)) for n in smaller)


def _is_sibling(entry: CatalogueEntry, other: CatalogueEntry) -> bool:
    mine, its = (int(one.config.get("vocab_size") or 0) for one in (entry, other))
    return (
        entry.id.partition("/")[0] == other.id.partition("/")[0]
        and entry.chat == other.chat
        and entry.config.get("model_type") == other.config.get("model_type")
        and abs(mine - its) <= mine * _SAME_VOCABULARY
    )


def _likeness(entry: CatalogueEntry, other: CatalogueEntry) -> tuple[int, int, str]:
    """Return how alike two names are: by how they begin, then the plainer one, then the newer."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(entry.id, other.id, strict=False))
    return len(list(alike)), -len(other.id), other.id


def gpu_facts(gpu: Gpu) -> GpuFacts:
    """Return what is known of one of this machine's GPUs, with who holds its memory."""
    return GpuFacts(
        index=gpu.index,
        name=gpu.name,
        total=gpu.memory_total_bytes,
        free=gpu.memory_free_bytes,
        capability=gpu.compute_capability,
        holders=tuple(
            f"{process.user or 'someone'} (pid {process.pid}, {text.memory(process.memory_bytes)})"
            for process in gpu.processes
        ),
    )


def asked_gpus(said: str) -> tuple[GpuFacts, ...]:
    """Return the GPUs that a person means, such as `8x80`, `T4` or `none`; see `asked_cards`.

    Raises:
        GpuError: it means none.
    """
    return tuple(
        GpuFacts(
            index=at,
            name=_name_of(card),
            total=card.memory_bytes,
            free=card.memory_bytes,
            capability=card.capability,
        )
        for at, card in enumerate(asked_cards(said))
    )


def _name_of(card: Card) -> str:
    """Return what a card is called; of one that was asked for by its size, what it is taken for."""
    if not card.name[0].isdigit():
        return card.name
    taken_for = f" (taken for {_TYPICAL[card.name]})" if card.name in _TYPICAL else ""
    return f"{card.name} card{taken_for}"
