"""What earlier runs left, as a base for later ones: an adapter's folder, a run's, `run:NAME`.

An adapter on the Hub is one too; of those in the cache this room knows, of the others `locate`.

An adapter is changes to a base. Whoever asks what such a model is (its configuration, its size)
means the base that stands under it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tui_ft import paths, text
from tui_ft.hub.cached import snapshot_of
from tui_ft.hub.client import ID

RUN: Final = "run:"
"""Before the name of a run, whose output is meant."""
MERGED_FILE: Final = "ftui_merged.json"
"""In a model's folder: the adapter and the base that were put together there."""
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"

PROMPTS: Final = ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT")
"""peft's methods that learn tokens before a row: no weight of the base stands for those."""
_CHANGES_BASE: Final = ("pissa", "olora", "corda", "loftq")
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's folder, as peft writes it.

    Attributes:
        base: the folder or id of the model that it changes; empty where it does not say.
        revision: of that model, on the Hub.
        peft_type: peft's name of the method, such as LORA.
        task: peft's name of what the model does: CAUSAL_LM or SEQ_CLS.
        config: all of its adapter_config.json.
        id: on the Hub, of one from there; its folder is in the cache, and may not be there yet.
        size: of its weights in bytes, where the Hub has told it.
    """

    folder: Path
    base: str
    revision: str | None
    peft_type: str
    task: str
    config: dict[str, Any]
    id: str | None = None
    size: int | None = None

    @property
    def name(self) -> str:
        """What people call it: its id on the Hub, or its folder."""
        return self.id or str(self.folder)

    @property
    def is_here(self) -> bool:
        """Whether its weights are on this machine."""
        return _is_file(self.folder / ADAPTER_WEIGHTS)

    @property
    def scores(self) -> bool:
        """Whether the model has a scoring head, and so generates no text."""
        return self.task == "SEQ_CLS"


def folder_of(name_or_path: str) -> Path:
    """Return the folder that a name means, which need not exist.

    `run:NAME` and the folder of a run mean what that run left: its `model/` or its `adapter/`.
    """
    named = run_name(name_or_path)
    root = paths.expand(name_or_path) if named is None else paths.runs_dir() / named
    if not _is_file(root / "run.yaml"):
        return root
    return next((root / kind for kind in ("model", "adapter") if _is_dir(root / kind)), root)


def run_name(name_or_path: str) -> str | None:
    """Return the run that `run:NAME` names; None for whatever else."""
    if not name_or_path.startswith(RUN):
        return None
    return name_or_path.removeprefix(RUN).strip().replace("/", "_") or "_"


def no_output(name_or_path: str) -> str | None:
    """Return why a run has nothing to go on from; None for what is no run, or has."""
    named = run_name(name_or_path)
    root = folder_of(name_or_path)
    if _is_file(root / "run.yaml"):
        return f"the run {root.name} has left no model or adapter (yet): it has not finished"
    if named is not None and not _is_dir(root):
        return f"there is no run {named} under {paths.runs_dir()}; `ftui runs` lists them"
    return None


def run_called(name: str) -> str:
    """Return, to be added to what is missing, that a run may be meant; empty where none can be."""
    if "/" in name or run_name(name) is not None:
        return ""
    if _is_file(paths.runs_dir() / name / "run.yaml"):
        return f"; the run {name} is written {RUN}{name}"
    return f"; nor is there a run {name} (a run's output is written {RUN}NAME)"


def adapter_in(folder: Path) -> Adapter | None:
    """Return the adapter in ``folder``; None where there is none, or a whole model."""
    if not _is_file(folder / ADAPTER_CONFIG):
        return None
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_bytes())
        whole = any(folder.glob("model*.safetensors"))
    except (OSError, ValueError, RecursionError):
        return None
    return None if whole else adapter_of(folder, config)


def adapter_of(
    folder: Path, config: object, *, id: str | None = None, size: int | None = None
) -> Adapter | None:
    """Return the adapter that a configuration describes; None where that is no object.

    Args:
        folder: where it lies, or will lie.
        config: of its adapter_config.json.
        id: on the Hub.
        size: of its weights in bytes.
    """
    if not isinstance(config, dict):
        return None
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    return Adapter(
        folder=folder,
        base=base if isinstance(base, str) else "",
        revision=revision if isinstance(revision, str) else None,
        peft_type=text.one_line(str(config.get("peft_type") or "?"), 40),
        task=text.one_line(str(config.get("task_type") or "CAUSAL_LM"), 40),
        config=config,
        id=id,
        size=size,
    )


def adapter_named(
    name_or_path: str, revision: str | None = None, environ: Mapping[str, str] = os.environ
) -> Adapter | None:
    """Return the adapter that a model's name means: a folder's, a run's, or one in the Hub's cache.

    None for whole models and for all that is not on this machine.
    """
    folder = folder_of(name_or_path)
    if _is_dir(folder) or not ID.fullmatch(name_or_path):
        return adapter_in(folder)
    snapshot = snapshot_of(name_or_path, revision, environ)
    found = adapter_in(snapshot) if snapshot is not None else None
    if found is None or not found.is_here:
        return None
    return replace(found, id=name_or_path)


def why_not_usable(adapter: Adapter) -> tuple[str, str] | None:
    """Return why an adapter cannot stand on its base, and what to do; None if it can."""
    if not adapter.is_here and adapter.size is None:
        return (
            f"{adapter.name} holds no {ADAPTER_WEIGHTS}; ftui loads no pickles",
            "save the adapter again with peft, which writes safetensors",
        )
    if not adapter.base:
        return (
            f"the adapter in {adapter.name} does not say which model it belongs on",
            f"write base_model_name_or_path into its {ADAPTER_CONFIG}",
        )
    if adapter_named(adapter.base) is not None:
        return (
            f"the adapter in {adapter.name} stands on another adapter, {adapter.base}",
            "merge that one first, and name the merged model as its base",
        )
    init = str(adapter.config.get("init_lora_weights", "")).casefold()
    if init.startswith(_CHANGES_BASE):
        return (
            f"the adapter in {adapter.name} was begun with {init}, which takes a part of the "
            "base into the adapter: on the base as it was it would count twice",
            "take the adapter of the finished run, which ftui saves for the base as it was",
        )
    return None


def why_not_mergeable(adapter: Adapter) -> tuple[str, str] | None:
    """Return why an adapter cannot become a part of its base, and what to do; None if it can."""
    refused = why_not_usable(adapter)
    if refused is not None:
        return refused
    if adapter.peft_type in PROMPTS:
        return (
            f"the adapter in {adapter.name} is learned tokens before every row "
            f"({adapter.peft_type}), which no weight of a model can stand for",
            "train the earlier run with method.kind lora, whose update becomes a part of the base",
        )
    if needs_its_quantised_base(adapter):
        return (
            f"the adapter in {adapter.name} was begun with LoftQ and makes up for what quantising "
            "took away from its base: on weights that are not quantised it would be too much",
            "set model.adapter to continue and method.kind to qlora",
        )
    if adapter.peft_type == "BOTTLENECK":
        return (
            f"the adapter in {adapter.name} stands behind a non-linearity, and is no part of a "
            "weight that it could become",
            "set model.adapter to continue, to train the same adapter further",
        )
    return None


def needs_its_quantised_base(adapter: Adapter) -> bool:
    """Tell whether an adapter was begun with LoftQ: it makes up for what quantising took away.

    peft's file does not say so; the run's own description does, or that of the run whose adapter it
    trained further.
    """
    import yaml  # the app opens without it

    earlier: Adapter | None = adapter
    for _ in range(_DEEPEST):
        if earlier is None:
            return False
        try:
            said = yaml.safe_load((earlier.folder.parent / "run.yaml").read_bytes())
            if said["method"].get("init_lora_weights") == "loftq":
                return True
            if said["model"].get("adapter") != "continue":
                return False
            earlier = adapter_named(str(said["model"]["name_or_path"]))
        except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError):
            return False
    return False


def read_merged(folder: Path) -> dict[str, Any] | None:
    """Return what was merged into the model in ``folder``; None for a model of other origin."""
    try:
        said = json.loads((folder / MERGED_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def bases_of(name_or_path: str, revision: str | None = None) -> list[dict[str, Any]]:
    """Return what a model was made of, the first model first, then what was trained on it in turn.

    Each has `kind` (model or adapter), `name` (a folder, or an id on the Hub), and, where it is
    known, the `run` that left it and the `revision`.
    """
    chain: list[dict[str, Any]] = []
    for _ in range(_DEEPEST):  # a folder that names itself has no bottom
        folder = folder_of(name_or_path)
        adapter, merged = adapter_named(name_or_path, revision), read_merged(folder)
        if adapter is not None:
            at = revision if adapter.id else None
            chain.append(_one("adapter", adapter.name, run=run_of(adapter.folder), revision=at))
            name_or_path, revision = adapter.base, adapter.revision
        elif merged is not None:
            chain.append(_one("adapter", str(merged.get("adapter")), run=merged.get("run")))
            name_or_path, revision = str(merged.get("base")), merged.get("revision")
        else:
            name = str(folder.absolute()) if _is_dir(folder) else name_or_path
            chain.append(_one("model", name, run=run_of(folder), revision=revision))
            break
    return chain[::-1]


def run_of(folder: Path) -> str | None:
    """Return the run whose output lies in ``folder``."""
    return folder.parent.name if _is_file(folder.parent / "run.yaml") else None


def _one(kind: str, name: str, **known: object) -> dict[str, Any]:
    return {"kind": kind, "name": name, **{key: value for key, value in known.items() if value}}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long to be one, or with NUL in it
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
