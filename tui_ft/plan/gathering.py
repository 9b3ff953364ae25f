"""What advice starts from, gathered here and now: data surveyed, model looked up, GPUs read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from tui_ft import paths
from tui_ft.advise import facts
from tui_ft.advise.facts import asked_gpus, data_facts, gpu_facts
from tui_ft.advise.situation import DataFacts, GpuFacts, Known, ModelFacts, Situation
from tui_ft.data import DataError, Row, detect, read_rows, sft_columns
from tui_ft.data.files.hub_download import Progress, fetch_dataset
from tui_ft.hardware import take_snapshot
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.memory.model_facts import model_facts
from tui_ft.models.catalogue import CatalogueEntry, catalogue
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.summary import Summary
from tui_ft.survey.tokens import TokenSummary
from tui_ft.survey.verdict import verdict_of

_ROWS_LOOKED_AT: Final = 200
_TEMPLATE_OF_BASE: Final = "plain"
_TEMPLATE_FILES: Final = ("chat_template.jinja", "tokenizer_config.json")


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What advice is sought for.

    Attributes:
        model: a folder, or an id on the Hub.
        data: a file, a folder, or an id on the Hub.
        evaluation: data to examine it on; they are looked through for rows of the training data.
        gpu: the GPUs to advise for, as `asked_cards` takes them; this machine's when None.
        host_memory: bytes of the host's memory beside other GPUs than this machine's, for what is
            offloaded to it; not known when None.
        columns: which of the data's columns plays which part.
        said: what a person said: `goal`, `prompt`, `budget`, `facts`, `reward`.
    """

    model: str
    data: str
    evaluation: str | None = None
    gpu: str | None = None
    host_memory: int | None = None
    columns: dict[str, str] = {}
    said: dict[str, str] = {}


class Listener:
    """Whoever is told how far the gathering is. The methods do nothing here."""

    def fetching(self, progress: Progress) -> None:
        """A data set comes from the Hub."""

    def surveying(self, summary: Summary) -> None:
        """The data are being read."""

    def lacking(self, words: str) -> None:
        """Something cannot be known, in words."""

    def is_cancelled(self) -> bool:
        """Tell whether nobody waits any more."""
        return False


def gather(sought: Sought, listener: Listener | None = None) -> Situation:
    """Return the situation; takes as long as surveying the data takes.

    Raises:
        DataError: the data cannot be had.
        GpuError: `gpu` means none.
    """
    told = listener or Listener()
    asked = None if sought.gpu is None else asked_gpus(sought.gpu)
    machine = take_snapshot(paths.home())
    model = _model(sought.model, told.lacking)
    gpus: Known[tuple[GpuFacts, ...]]
    if asked is not None:
        gpus = Known(asked, "asked", "as you said")
    else:
        sound = tuple(gpu_facts(one) for one in machine.gpus if one.error is None)
        gpus = Known(sound, "measured", machine.gpu_status or "")
    said = sought.said
    return Situation(
        goal=_asked(said, "goal"),
        prompt=_asked(said, "prompt"),
        budget=_asked(said, "budget"),
        facts_change=_asked(said, "facts"),
        reward=_asked(said, "reward"),
        data=_data(sought, model, told),
        model=model,
        gpus=gpus,
        hypothetical_gpus=asked is not None,
        host_memory=_host_memory(sought, asked, machine.host.memory_available_bytes),
        flash_attention=_flash_attention() if asked is None else None,
    )


def _host_memory(
    sought: Sought, asked: tuple[GpuFacts, ...] | None, available: int | None
) -> Known[int] | None:
    """Return the memory of the host: this machine's, unless GPUs of another are meant."""
    if sought.host_memory is not None:
        return Known(sought.host_memory, "asked", "as you said")
    if asked or available is None:
        return None
    return Known(available, "measured")


def _flash_attention() -> Known[bool]:
    return Known(importlib.util.find_spec("flash_attn") is not None, "measured")


def _asked(said: Mapping[str, str], name: str) -> Any:  # noqa: ANN401 - checked where it was said
    return Known(said[name], "asked", "as you said") if name in said else None


def _model(name: str, lacking: Callable[[str], None]) -> ModelFacts:
    found = model_facts(name)
    for said in (found.problem, found.note):
        if said:
            lacking(said)
    if found.adapter is not None:
        lacking(
            f"{name} is an adapter of {found.adapter.base}: the run puts it into its base and "
            "trains a new one; `model.adapter: continue` trains that one further, and then its "
            "rank and its layers stay as they are"
        )
    entry = found.entry or _well_known(name)
    return facts.model_facts(
        name,
        found.config,
        has_template=_has_template(name),
        plain_template=_TEMPLATE_OF_BASE,
        entry=entry,
        smaller=() if entry is None else facts.smaller_models(entry, catalogue()),
    )


def _well_known(name: str) -> CatalogueEntry | None:
    """Return the well-known model that a folder is named after."""
    tail = Path(name).name.casefold()
    return next((one for key, one in catalogue().items() if key.endswith(f"/{tail}")), None)


def _has_template(name: str) -> bool | None:
    """Tell whether the model's tokenizer has a chat template; None where it is not here."""
    try:
        folder = TokenRequest(name).folder()
    except DataError:
        return None
    if (folder / _TEMPLATE_FILES[0]).is_file():
        return True
    try:
        return '"chat_template"' in (folder / _TEMPLATE_FILES[1]).read_text()
    except (OSError, UnicodeDecodeError):
        return False


def _data(sought: Sought, model: ModelFacts, told: Listener) -> DataFacts:
    """Return what a survey finds in the data, with tokens where the tokenizer is at hand."""
    local = _local(sought.data, told)
    examined = None if sought.evaluation is None else _local(sought.evaluation, told)
    tokens = _tokens(model, told)
    asked = Asked(Request(local, columns=sought.columns, eval=examined, tokens=tokens))
    summary = _followed(asked, told)
    counted = asked.tokens()
    if counted is not None and counted.problem is not None:
        told.lacking(counted.problem)
        counted = None
    rows = _first_rows(summary.rows_file)
    detection = detect(rows, columns=sought.columns) if rows else None
    verdict = verdict_of(summary, counted)
    if verdict.format == "prompt_only":  # that no token carries loss is no fault of prompts
        verdict = msgspec.structs.replace(verdict, quality=verdict_of(summary).quality)
    words = summary.numbers.words_at
    evaluation = sought.evaluation or ""
    found = data_facts(
        *(sought.data, verdict, _whole(counted)),
        *({} if detection is None else sft_columns(detection, rows) or {}, words, evaluation),
        columns=sought.columns,
    )
    return found if detection is None else facts.with_prompts(found, rows, detection)


def _local(data: str, told: Listener) -> str:
    """Return where rows lie on this machine; a data set on the Hub is fetched first."""
    if not is_dataset_id(data):
        return data
    return str(fetch_dataset(data, progress=told.fetching, cancelled=told.is_cancelled))


def _whole(counted: TokenSummary | None) -> TokenSummary | None:
    return counted if counted is not None and counted.stage == "done" else None


def _tokens(model: ModelFacts, told: Listener) -> TokenRequest | None:
    if model.has_template is None:
        told.lacking(
            f"{model.name} is not on this machine: its tokens are not counted, lengths are assumed"
        )
        return None
    lacks = not model.has_template.value
    return TokenRequest(model.name, chat_template=model.plain_template if lacks else None)


def _followed(asked: Asked, told: Listener) -> Summary:
    """Return the end of a survey; broken off, it is ended too."""
    summary: Summary | None = None
    try:
        for summary in asked.follow():
            told.surveying(summary)
            if told.is_cancelled():
                raise DataError("it was broken off")
    except BaseException:
        asked.cancel()
        raise
    assert summary is not None, "a survey that is over has a summary"
    if summary.problem is not None:
        raise DataError(summary.problem)
    return summary


def _first_rows(rows_file: str) -> list[Row]:
    """Return the first rows, by which it is seen what their columns hold."""
    looked_at = islice(read_rows(Path(rows_file)), _ROWS_LOOKED_AT)
    return [row for row in looked_at if isinstance(row, Row)]
