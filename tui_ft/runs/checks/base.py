"""Whether a run can begin with the model that it names, where an earlier run left that model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tui_ft import paths, text
from tui_ft.hub import ModelLocation
from tui_ft.hub.continuing import continues, in_words, why_not_continued
from tui_ft.hub.merged import host_memory_refusal, merged_folder
from tui_ft.hub.model_config import model_config
from tui_ft.hub.outputs import Adapter, folder_of, why_not_mergeable
from tui_ft.spec import RunSpec
from tui_ft.spec.objectives import ANSWERS_NOTHING

_SCORES = "ForSequenceClassification"


@dataclass(frozen=True, slots=True)
class Base:
    """What stands under a run.

    Attributes:
        refused: why the run cannot begin with it, and what to do.
        note: what is done with it first.
        bytes_written: of a merged copy that is still to be made.
    """

    refused: tuple[str, str] | None = None
    note: str | None = None
    bytes_written: int = 0


def check_base(spec: RunSpec, model: ModelLocation) -> Base:
    """Look at the model of a run; one that is fetched from the Hub as a whole is taken as it is.

    Args:
        spec: the run.
        model: where its model is; of an adapter, its base.
    """
    adapter = model.adapter
    refused = _scores_only(spec, folder_of(spec.model.name_or_path), adapter)
    if refused is not None:
        return Base(refused)
    if continues(spec):
        return _further(spec, adapter, is_known=model.where not in ("unknown", "missing"))
    return Base() if adapter is None else _merged(adapter, model)


def _merged(adapter: Adapter, model: ModelLocation) -> Base:
    refused = why_not_mergeable(adapter) or _quantised(adapter)
    if refused is not None:
        return Base(refused)
    size = model.weights_bytes or 0
    if model.path is not None and _is_there(adapter, model.path):
        return Base(note=f"the adapter {adapter.name} is merged into {adapter.base} already")
    refused = host_memory_refusal(adapter, size)
    if refused is not None:
        return Base(refused)
    note = (
        f"the adapter {adapter.name} is merged into {adapter.base} first, in 16 bits or as it is "
        f"stored; the copy ({text.size(size)}) stays in {paths.models_dir()} for this run and "
        "later ones"
    )
    return Base(note=note, bytes_written=size)


def _further(spec: RunSpec, adapter: Adapter | None, *, is_known: bool) -> Base:
    if adapter is None:
        no_adapter = f"model.adapter is continue, and {spec.model.name_or_path} is no adapter"
        advice = "leave model.adapter out, or name an adapter: a folder, run:NAME, or a Hub id"
        return Base((no_adapter, advice) if is_known else None)
    refused = why_not_continued(spec, adapter)
    if refused is not None:
        return Base(refused)
    return Base(
        note=f"the adapter {adapter.name} is trained further on {adapter.base}: {in_words(adapter)}"
    )


def _is_there(adapter: Adapter, base: Path) -> bool:
    try:
        return merged_folder(adapter, base).is_dir()
    except OSError:
        return False


def _scores_only(spec: RunSpec, folder: Path, adapter: Adapter | None) -> tuple[str, str] | None:
    """Return why a model with a scoring head is no base of a run that needs words."""
    if spec.objective.kind in ANSWERS_NOTHING:
        return None
    scores = adapter is not None and adapter.scores
    if adapter is None and folder.is_dir():
        made = (model_config(str(folder)).values or {}).get("architectures")
        scores = isinstance(made, list) and any(str(one).endswith(_SCORES) for one in made)
    if not scores:
        return None
    return (
        f"{folder if adapter is None else adapter.name} scores texts with a head of its own and "
        f"generates none: it is no base for the objective {spec.objective.kind}",
        "set model.name_or_path to the run of an objective that generates, such as sft",
    )


def _quantised(adapter: Adapter) -> tuple[str, str] | None:
    config = model_config(adapter.base, adapter.revision).values or {}
    if not config.get("quantization_config"):
        return None
    return (
        f"{adapter.base} is stored quantised, and an update added to quantised weights is rounded "
        "away: its adapter cannot become a part of it",
        "train the earlier run on the model in 16 bits: method.kind qlora quantises it itself",
    )
