"""What a model is: its config.json from a folder, the cache or the Hub; else from the catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from tui_ft import paths
from tui_ft.hub.model_config import model_config
from tui_ft.hub.outputs import Adapter
from tui_ft.models import Architecture, ArchitectureError, architecture_of
from tui_ft.models.catalogue import CatalogueEntry, catalogue_entry

Where = Literal["folder", "cache", "hub", "catalogue"]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What could be found out.

    Attributes:
        config: the values of its config.json; None when there are none to be had.
        where: where they are from.
        note: what a person should know of them: that they are the catalogue's, and why.
        problem: why there are none, and what to do.
        entry: what the catalogue says of it, whatever its configuration is from.
        adapter: the adapter that was named; all else is said of its base.
    """

    config: dict[str, Any] | None = None
    where: Where | None = None
    note: str | None = None
    problem: str | None = None
    entry: CatalogueEntry | None = None
    adapter: Adapter | None = None

    def architecture(self, labels: int | None = None) -> Architecture:
        """Return the architecture.

        Args:
            labels: of a classification; None for the language model.

        Raises:
            ArchitectureError: there is no configuration, or none that is known how to count.
        """
        if self.config is None:
            raise ArchitectureError(self.problem or "the model has no configuration")
        return architecture_of(self.config, labels)


def model_facts(
    name_or_path: str,
    revision: str | None = None,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> ModelFacts:
    """Return what a model is. Never raises, and takes a few seconds where the Hub is slow.

    Args:
        name_or_path: a folder, or an id on the Hub.
        revision: branch, tag or commit; the newest when not given.
        environ: honours the Hub's variables.
        transport: how the Hub is reached; httpx's own when None.
    """
    found = model_config(name_or_path, revision, environ, transport)
    adapter = found.adapter
    if adapter is not None and adapter.base:  # the name of what is counted
        name_or_path, revision = adapter.base, adapter.revision
    entry = None if paths.expand(name_or_path).exists() else catalogue_entry(name_or_path)
    if found.values is not None:
        said = None
        if adapter is not None and adapter.id is not None:
            said = f"{adapter.id} is an adapter ({adapter.peft_type}) of {adapter.base}: what is "
            said += "counted is that model"
        return ModelFacts(found.values, found.where, said, entry=entry, adapter=adapter)
    if entry is None:
        return ModelFacts(problem=found.problem, adapter=adapter)
    of_which = f" (of its main version, and not of {revision})" if revision else ""
    note = f"{entry.id} is counted by ftui's own catalogue{of_which}: {found.problem}"
    return ModelFacts(dict(entry.config), "catalogue", note=note, entry=entry, adapter=adapter)
