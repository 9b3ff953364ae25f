"""An adapter as the base of a run: it becomes a part of its own base before anything is trained.

Where a run trains the same adapter further nothing is merged: see
`tui_ft.train.methods.continuing`.

The merged model is written once, as safetensors, and every run that begins with the adapter loads
that copy: as it is, or quantised. So an adapter that is trained on it names a base that anybody can
load, and the reference of DPO, which is the model without its new adapter, is the earlier run's.

The update is added to the weights in the type in which the base is stored (arXiv:2106.09685,
section 4.1: W = W0 + BA), never to quantised ones, which would round most of it away.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tui_ft import paths
from tui_ft.hub import locate_model
from tui_ft.hub.class_names import classes_beside
from tui_ft.hub.continuing import as_continued, continues, why_not_continued
from tui_ft.hub.merged import SHARD_BYTES, host_memory_refusal, merged_folder
from tui_ft.hub.outputs import (
    ADAPTER_WEIGHTS,
    MERGED_FILE,
    Adapter,
    adapter_named,
    bases_of,
    folder_of,
    run_of,
    why_not_mergeable,
)
from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunFailure

Say = Callable[[str], None]

_UNFINISHED: Final = "unfinished"
_HEADS: Final = ("score.weight", "classifier.weight", "classifier.out_proj.weight")


def with_whole_base(spec: RunSpec, say: Say) -> RunSpec:
    """Return ``spec`` with a whole model as its base, where it names an adapter or a run.

    One that trains the adapter further keeps it, and is given what the adapter says of the method.

    Args:
        spec: the run; its model, and an adapter's base, are on this machine.
        say: told what takes time.

    Raises:
        RunFailure: the adapter cannot become a part of its base, or not be trained further.
        OSError: the copy cannot be written.
    """
    adapter = adapter_named(spec.model.name_or_path, spec.model.revision)
    if continues(spec):
        return _going_on(spec, adapter)
    folder = folder_of(spec.model.name_or_path)
    if adapter is None:
        return spec if str(folder) == spec.model.name_or_path else _named(spec, folder)
    return _named(spec, merged(adapter, say, trust=spec.model.trust_remote_code))


def _going_on(spec: RunSpec, adapter: Adapter | None) -> RunSpec:
    if adapter is None:
        raise RunFailure(
            f"model.adapter is continue, and {spec.model.name_or_path} is no adapter",
            "leave model.adapter out, or name an adapter",
        )
    refused = why_not_continued(spec, adapter)
    if refused is not None:
        raise RunFailure(*refused)
    return as_continued(_named(spec, adapter.folder), adapter)


def merged(adapter: Adapter, say: Say, *, trust: bool = False) -> Path:
    """Return the folder of the merged copy of ``adapter`` and its base; it is made if need be.

    Args:
        adapter: the adapter.
        say: told what takes time.
        trust: run code that comes with the base.

    Raises:
        RunFailure: it cannot be merged.
        OSError: the copy cannot be written.
    """
    refused = why_not_mergeable(adapter)
    if refused is not None:
        raise RunFailure(*refused)
    base = locate_model(adapter.base, adapter.revision)
    if base.path is None or base.where not in ("local", "cached"):
        raise RunFailure(base.reason or f"the adapter's base {adapter.base} is not to be had")
    target = merged_folder(adapter, base.path)
    if (target / MERGED_FILE).is_file():
        return target
    short = host_memory_refusal(adapter, base.weights_bytes)
    if short is not None:
        raise RunFailure(*short)
    say(f"merges the adapter {adapter.name} into {adapter.base}, once, in {target}")
    paths.make_private_dir(target.parent)
    _remove_left_behind(target)
    unfinished = target.with_name(f".{target.name}.{_UNFINISHED}-{os.getpid()}")
    try:
        _write(adapter, base.path, unfinished, trust)
        if not target.exists():
            unfinished.rename(target)
    except OSError:
        if not (target / MERGED_FILE).is_file():  # else another run was quicker
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _write(adapter: Adapter, base: Path, folder: Path, trust: bool) -> None:
    """Write the merged model, its tokenizer, and what it was made of; the last word comes last."""
    from peft import PeftModel

    paths.make_private_dir(folder)
    model = _load_base(adapter, base, trust)
    changed = PeftModel.from_pretrained(model, str(adapter.folder))
    if not hasattr(changed.base_model, "merge_and_unload"):
        raise RunFailure(
            f"peft cannot merge an adapter of the type {adapter.peft_type} into its base",
            "train the earlier run with method.kind lora",
        )
    try:
        whole = changed.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError) as error:  # NaN in the update, or a layer that cannot
        raise RunFailure(
            f"the adapter {adapter.folder} cannot be merged into its base: {error}"
        ) from None
    whole.save_pretrained(str(folder), max_shard_size=SHARD_BYTES)
    _tokenizer(adapter, base).save_pretrained(str(folder))
    said = {
        "adapter": adapter.id or str(adapter.folder.absolute()),
        "run": run_of(adapter.folder),
        "base": adapter.base,
        "revision": adapter.revision,
        "peft_type": adapter.peft_type,
        "bases": bases_of(adapter.name),
    }
    paths.write_atomically(folder / MERGED_FILE, json.dumps(said, indent=2))


def _load_base(adapter: Adapter, base: Path, trust: bool) -> Any:  # noqa: ANN401 - untyped
    """Return the base in the type in which it is stored.

    Raises:
        RunFailure: it is stored quantised.
    """
    how: dict[str, Any] = {"dtype": "auto", "use_safetensors": True, "trust_remote_code": trust}
    kind: Any = AutoModelForCausalLM
    if adapter.scores:
        kind = AutoModelForSequenceClassification
        how["num_labels"] = outputs_of_head(adapter)
    names = classes_beside(adapter.folder)
    if adapter.scores and len(names) == how["num_labels"]:
        how["id2label"] = dict(enumerate(names))
        how["label2id"] = {name: number for number, name in enumerate(names)}
    model = kind.from_pretrained(base, **how)
    if getattr(model.config, "quantization_config", None) is not None:
        raise RunFailure(
            f"{adapter.base} is stored quantised, and an update added to quantised weights is "
            "rounded away",
            "train the earlier run on the model in 16 bits: method.kind qlora quantises it itself",
        )
    return model


def outputs_of_head(adapter: Adapter) -> int:
    """Return how many outputs the scoring head has that was saved with an adapter.

    Raises:
        RunFailure: there is no such head.
    """
    with safe_open(adapter.folder / ADAPTER_WEIGHTS, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - safetensors' own
            if name.endswith(_HEADS):
                return int(file.get_slice(name).get_shape()[0])
    raise RunFailure(f"the adapter {adapter.folder} scores, and holds no scoring head")


def _tokenizer(adapter: Adapter, base: Path) -> Any:  # noqa: ANN401
    """Return the tokenizer, and the chat template, of the run that left the adapter."""
    own = (adapter.folder / "tokenizer_config.json").is_file()
    return AutoTokenizer.from_pretrained(adapter.folder if own else base)


def _named(spec: RunSpec, folder: Path) -> RunSpec:
    model = spec.model.model_copy(update={"name_or_path": str(folder), "revision": None})
    return spec.model_copy(update={"model": model})


def _remove_left_behind(target: Path) -> None:
    """Remove what merges that were killed had written."""
    for folder in target.parent.glob(f".{target.name}.{_UNFINISHED}-*"):
        if not Path("/proc", folder.name.rpartition("-")[2]).exists():
            shutil.rmtree(folder, ignore_errors=True)
