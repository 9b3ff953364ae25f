"""What advice starts from, gathered here and now: data surveyed, model looked up, GPUs read."""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tui_ft.commands.output import warn

if TYPE_CHECKING:
    from tui_ft.advise.situation import DataFacts, GpuFacts, Known, ModelFacts, Situation
    from tui_ft.models.catalogue import CatalogueEntry

_ROWS_LOOKED_AT: Final = 200
_TEMPLATE_FILES: Final = ("chat_template.jinja", "tokenizer_config.json")


def gather(
    model: str,
    data: str,
    evaluation: str | None = None,
    *,
    gpu: str | None,
    columns: dict[str, str],
    said: dict[str, str | None],
) -> Situation:
    """Return the situation; takes as long as surveying the data takes.

    Args:
        model: a folder, or an id on the Hub.
        data: a file, a folder, or an id on the Hub.
        evaluation: data to examine it on; they are looked through for rows of the training data.
        gpu: the GPUs to advise for, such as `24` or `8x80`; this machine's when None.
        columns: which of the data's columns plays which part.
        said: what a person said: `goal`, `prompt`, `budget`, `facts`.

    Raises:
        DataError: the data cannot be had.
        GpuError: ``gpu`` means none.
    """
    from tui_ft import paths
    from tui_ft.advise.facts import asked_gpus, gpu_facts
    from tui_ft.advise.situation import Known, Situation
    from tui_ft.hardware import take_snapshot

    asked = None if gpu is None else asked_gpus(gpu)
    machine = take_snapshot(paths.home())
    known_model = _model(model)
    gpus: Known[tuple[GpuFacts, ...]]
    if asked is not None:
        gpus = Known(asked, "asked", "as you said")
    else:
        sound = tuple(gpu_facts(one) for one in machine.gpus if one.error is None)
        gpus = Known(sound, "measured", machine.gpu_status or "")
    free = machine.host.memory_available_bytes
    return Situation(
        goal=_asked(said.get("goal")),
        prompt=_asked(said.get("prompt")),
        budget=_asked(said.get("budget")),
        facts_change=_asked(said.get("facts")),
        data=_data(data, evaluation, known_model, columns),
        model=known_model,
        gpus=gpus,
        hypothetical_gpus=asked is not None,
        host_memory=None if free is None else Known(free, "measured"),
        flash_attention=_flash_attention() if asked is None else None,
    )


def _flash_attention() -> Known[bool]:
    from tui_ft.advise.situation import Known

    return Known(importlib.util.find_spec("flash_attn") is not None, "measured")


def _asked(value: str | None) -> Any:  # noqa: ANN401 - checked by the options it comes from
    from tui_ft.advise.situation import Known

    return None if value is None else Known(value, "asked", "as you said")


def _model(name: str) -> ModelFacts:
    from tui_ft.advise import facts
    from tui_ft.memory.model_facts import model_facts
    from tui_ft.models.catalogue import catalogue

    found = model_facts(name)
    for said in (found.problem, found.note):
        if said:
            warn(said)
    template = Path(facts.__file__).parent / "templates" / "plain.jinja"
    entry = found.entry or _well_known(name)
    return facts.model_facts(
        name,
        found.config,
        has_template=_has_template(name),
        plain_template=str(template),
        entry=entry,
        smaller=() if entry is None else facts.smaller_models(entry, catalogue()),
    )


def _well_known(name: str) -> CatalogueEntry | None:
    """Return the well-known model that a folder is named after."""
    from tui_ft.models.catalogue import catalogue

    tail = Path(name).name.casefold()
    return next((one for key, one in catalogue().items() if key.endswith(f"/{tail}")), None)


def _has_template(name: str) -> bool | None:
    """Tell whether the model's tokenizer has a chat template; None where it is not here."""
    from tui_ft.data import DataError
    from tui_ft.survey.request import TokenRequest

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


def _data(
    path: str, evaluation: str | None, model: ModelFacts, columns: dict[str, str]
) -> DataFacts:
    """Return what a survey finds in a data set, with tokens where the tokenizer is at hand."""
    from tui_ft.advise.facts import data_facts
    from tui_ft.commands.inspect import finished, local_rows
    from tui_ft.data import DataError
    from tui_ft.survey.asking import Asked
    from tui_ft.survey.request import Request, TokenRequest
    from tui_ft.survey.verdict import verdict_of

    local = local_rows(path)
    tokens: TokenRequest | None = None
    if model.has_template is not None:
        lacks = not model.has_template.value
        tokens = TokenRequest(model.name, chat_template=model.plain_template if lacks else None)
    else:
        warn(
            f"{model.name} is not on this machine: its tokens are not counted, lengths are assumed"
        )
    examined = None if evaluation is None else local_rows(evaluation)
    asked = Asked(Request(local, columns=columns, eval=examined, tokens=tokens))
    summary = finished(asked)
    if summary.problem is not None:
        raise DataError(summary.problem)
    counted = asked.tokens()
    if counted is not None and counted.problem is not None:
        warn(counted.problem)
        counted = None
    mapped = columns or _sft_columns(summary.rows_file, columns)
    verdict = verdict_of(summary, counted)
    words_at = summary.numbers.words_at
    return data_facts(path, verdict, counted, mapped, words_at, evaluation or "")


def _sft_columns(rows_file: str, columns: dict[str, str]) -> dict[str, str]:
    """Return the columns by which answers can be learned from rows made for something else."""
    from tui_ft.data import Row, detect, read_rows, sft_columns

    looked_at = islice(read_rows(Path(rows_file)), _ROWS_LOOKED_AT)
    rows = [row for row in looked_at if isinstance(row, Row)]
    if not rows:
        return {}
    return sft_columns(detect(rows, columns=columns), rows) or {}
