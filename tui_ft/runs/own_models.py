"""Models that need no Hub: what earlier runs made, what ftui prepared, the folder, the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tui_ft import paths
from tui_ft.hub.local_models import LocalModel, cached_models, model_at, models_in
from tui_ft.hub.outputs import folder_of
from tui_ft.models.catalogue import CatalogueEntry, catalogue
from tui_ft.runs.folder import all_folders

Origin = Literal["run", "prepared", "folder", "cache"]


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model on this machine, and how it came there.

    Attributes:
        origin: `run` made it; ftui `prepared` it; it stands in the working `folder`, or in the
            Hugging Face `cache`.
        run: the run that made it.
    """

    model: LocalModel
    origin: Origin
    run: str | None = None


def own_models(
    query: str = "", folder: Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[OwnModel, ...]:
    """Return the models on this machine whose name holds all words of ``query``. Never raises.

    What runs made, models and adapters, comes first, then what ftui prepared, the working folder,
    and the cache.

    Args:
        query: words; all models without any.
        folder: where to look for folders of models; the working folder when None.
        environ: honours HF_HOME and HF_HUB_CACHE.
    """
    found: list[OwnModel] = []
    for run in all_folders():
        made = model_at(folder_of(str(run.path)))
        if made is not None:
            found.append(OwnModel(made, "run", run.id))
    found.sort(key=lambda one: -one.model.changed)
    found += [OwnModel(model, "prepared") for model in models_in(paths.models_dir())]
    here = folder if folder is not None else Path()
    found += [OwnModel(model, "folder") for model in models_in(here)]
    found += [OwnModel(model, "cache") for model in cached_models(environ)]
    return tuple(one for one in found if _fits(one.model.name, query))


def known_models(query: str) -> tuple[CatalogueEntry, ...]:
    """Return the models of ftui's catalogue whose id holds all words of ``query``, by name."""
    fitting = [entry for entry in catalogue().values() if _fits(entry.id, query)]
    return tuple(sorted(fitting, key=lambda entry: entry.id.casefold()))


def _fits(name: str, query: str) -> bool:
    return all(word in name.casefold() for word in query.casefold().split())
