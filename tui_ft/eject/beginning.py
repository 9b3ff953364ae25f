"""The model that a script begins with: a whole one, or an adapter merged or trained further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tui_ft.eject.adapter_lines import Adapter as AdapterLines
from tui_ft.eject.modules import BOTTLENECK
from tui_ft.hub.continuing import as_continued, continues, why_not_continued
from tui_ft.hub.outputs import Adapter, adapter_named, folder_of, no_output, why_not_mergeable
from tui_ft.spec import RunSpec
from tui_ft.spec.combinations.continuing import compares_with_itself

_FURTHER: Final = AdapterLines(
    "from peft import PeftConfig, load_peft_weights, set_peft_model_state_dict",
    ("adapter_config(),",),
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What of a script depends on the model that it begins with.

    Attributes:
        model: folder or id of the whole model, and its revision.
        constants: values that the parts ask for.
        parts: the files of `parts` before anything is loaded.
        imports: lines of imports.
        tokenizer: the arguments of the line that loads it.
        begins: the lines that follow the parts.
        adapter: what makes the configuration of an adapter; None where the method does.
        after: the lines after the trainer is made.
        saves: the lines before the weights are saved.
    """

    model: str
    revision: str | None = None
    constants: Mapping[str, Any] | None = None
    parts: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    tokenizer: str = "MODEL, revision=REVISION"
    begins: tuple[str, ...] = ()
    adapter: AdapterLines | None = None
    after: tuple[str, ...] = ()
    saves: tuple[str, ...] = ()


def no_beginning(spec: RunSpec) -> str:
    """Return why a script cannot begin with the model of a run; empty where it can."""
    lacking = no_output(spec.model.name_or_path)
    if lacking:
        return lacking
    adapter = _adapter_of(spec)
    if adapter is None:
        no_adapter = f"model.adapter is continue, and {spec.model.name_or_path} is no adapter here"
        return no_adapter if continues(spec) else ""
    refused = why_not_continued(spec, adapter) if continues(spec) else why_not_mergeable(adapter)
    if refused is not None:
        return refused[0]
    if continues(spec) and getattr(spec.objective, "precompute_ref_log_probs", False):
        return (
            "objective.precompute_ref_log_probs cannot be handed over with model.adapter continue: "
            "trl asks the reference before a script can read the adapter; leave it out, the losses "
            "are the same"
        )
    return ""


def no_axolotl_beginning(spec: RunSpec) -> str:
    """Return why Axolotl cannot begin with the model of a run; empty where it can."""
    refused = no_beginning(spec)
    if refused or continues(spec) or _adapter_of(spec) is None:
        return refused
    return (
        "Axolotl merges no adapter before it trains: set model.adapter to continue, or hand the "
        "run over with `--to script`"
    )


def prepared(spec: RunSpec) -> RunSpec:
    """Return ``spec`` with its method as the adapter has it, where that is trained further."""
    return as_continued(spec, _adapter_of(spec))


def axolotl_model(spec: RunSpec) -> dict[str, Any]:
    """Return Axolotl's values of the model that a run begins with."""
    begins = beginning_of(spec)
    values: dict[str, Any] = {"base_model": begins.model}
    if begins.revision:
        values["revision_of_model"] = begins.revision
    adapter = _adapter_of(spec)
    if adapter is not None:
        values["lora_model_dir"] = _place(adapter)
    return values


def beginning_of(spec: RunSpec) -> Beginning:
    """Return how a script begins; `no_beginning` has nothing against it."""
    adapter = _adapter_of(spec)
    if adapter is None:
        folder = folder_of(spec.model.name_or_path)
        name = str(folder.absolute()) if folder.is_dir() else spec.model.name_or_path
        return Beginning(name, spec.model.revision)
    own = (adapter.folder / "tokenizer_config.json").is_file()
    constants = {
        "ADAPTER": _place(adapter),
        "ADAPTER_REVISION": spec.model.revision if adapter.id else None,
    }
    begins = Beginning(
        adapter.base,
        adapter.revision,
        constants,
        tokenizer="ADAPTER, revision=ADAPTER_REVISION" if own else "MODEL, revision=REVISION",
    )
    return _further(spec, begins) if continues(spec) else _merged(spec, adapter, begins)


def _merged(spec: RunSpec, adapter: Adapter, begins: Beginning) -> Beginning:
    trust = ", trust_remote_code=True" if spec.model.trust_remote_code else ""
    load = f'MODEL, revision=REVISION, dtype="auto", use_safetensors=True{trust}'
    kind = "SequenceClassification" if adapter.scores else "CausalLM"
    labels = ", num_labels=outputs()" if adapter.scores else ""
    return replace(
        begins,
        parts=(*(("outputs",) if adapter.scores else ()), "merged"),
        imports=("from accelerate import PartialState", "from peft import PeftModel")
        + (("from peft import load_peft_weights",) if adapter.scores else ())
        + (f"from transformers import AutoModelFor{kind}, AutoTokenizer",),
        begins=(
            f"load_base = lambda: AutoModelFor{kind}.from_pretrained({load}{labels})",
            f"load_tokenizer = lambda: AutoTokenizer.from_pretrained({begins.tokenizer})",
            "MODEL, REVISION = merged(load_base, load_tokenizer), None",
        ),
        tokenizer="MODEL, revision=REVISION",
    )


def _further(spec: RunSpec, begins: Beginning) -> Beginning:
    compares = compares_with_itself(spec)
    constants = {**(begins.constants or {}), "DROPOUT": getattr(spec.method, "lora_dropout", None)}
    return replace(
        begins,
        constants=constants,
        parts=("further",),
        imports=("import copy",),
        adapter=_further_lines(spec),
        after=(f"begin_where_it_is(trainer.model, compares={compares})",),
        saves=('trainer.model.delete_adapter("ref")',) if compares else (),
    )


def _further_lines(spec: RunSpec) -> AdapterLines:
    if spec.method.kind != "bottleneck":
        return _FURTHER
    known_to_peft = f"import {BOTTLENECK}  # which makes peft know them"
    return replace(_FURTHER, imported=f"{_FURTHER.imported}\n{known_to_peft}")


def _adapter_of(spec: RunSpec) -> Adapter | None:
    return adapter_named(spec.model.name_or_path, spec.model.revision)


def _place(adapter: Adapter) -> str:
    return adapter.id or str(adapter.folder.absolute())
