"""What can be known to go wrong before anything heavy is loaded: data, model, disk, GPU, output.

Tokens are not looked at here (that takes the model's tokenizer, and so the worker): what
`max_length` cuts, and whether any token is supervised, the worker says before it loads weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from tui_ft import paths, text
from tui_ft.data import BadLine, DataError, detect, objective_refusal, read_rows
from tui_ft.data.files.hub_download import Wanted, on_this_machine
from tui_ft.hardware import Gpu
from tui_ft.hub import ModelLocation, locate_model
from tui_ft.hub.continuing import as_continued
from tui_ft.hub.dataset_info import dataset_info
from tui_ft.runs import events as ev
from tui_ft.runs.checks import hub_data
from tui_ft.runs.checks.adapter_fit import adapter_misfit
from tui_ft.runs.checks.base import Base, check_base
from tui_ft.runs.checks.disk import check_disk, existing_part, free_bytes
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.learning_rates import dear_divergence, far_learning_rate
from tui_ft.runs.checks.libraries import check_libraries
from tui_ft.runs.checks.model_fit import model_misfit
from tui_ft.runs.checks.rewards import check_rewards, unanswered_refusal
from tui_ft.runs.run_data import Use, wanted_of
from tui_ft.runs.trackers import missing_trackers
from tui_ft.spec import RunSpec
from tui_ft.spec.chat_templates import SHIPPED, template_problem
from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.distributed import (
    NO_DEEPSPEED,
    DeepSpeedStrategy,
    has_deepspeed,
    sharding_kind,
    strategy_name,
)
from tui_ft.spec.objectives import PretrainingObjective
from tui_ft.spec.passed_on import passed_on_faults
from tui_ft.spec.trainer_arguments import evaluates_last

_ROWS_LOOKED_AT: Final = 1_000
_FEW_ROWS: Final = 20


def check(
    spec: RunSpec, output: Path, gpus: Sequence[Gpu] = (), *, adapter_comes_later: bool = False
) -> tuple[Finding, ...]:
    """Return what is found: hardware asked for, data, model, disk, GPU, output. Never raises.

    Args:
        output: the folder that will take checkpoints and weights, or its nearest parent.
        gpus: the GPUs that the run gets; none means the CPU.
        adapter_comes_later: an earlier stage will leave the adapter that it trains further, and
            the base stands for it here.
    """
    model = locate_model(spec.model.name_or_path, spec.model.revision)
    base = Base() if adapter_comes_later else check_base(spec, model)
    if base.refused is None:
        spec = as_continued(spec, model.adapter)
    return (
        *_check_hardware(spec, gpus),
        *_check_objective(spec),
        *check_libraries(spec, gpus),
        *check_data(spec),
        *_check_model(model, base),
        *_check_template(spec),
        *check_disk(spec, output, model, base.bytes_written),
        *_check_gpus(spec, gpus, model),
        *_check_output(output),
        *_check_trackers(spec),
    )


def refusal(findings: Sequence[Finding]) -> ev.Ended | None:
    """Return the end of a run that must not start, or None when it may."""
    bad = [finding for finding in findings if finding.severity == "bad"]
    if not bad:
        return None
    return ev.Ended(
        state="failed",
        reason=bad[0].text,
        advice=tuple(finding.advice for finding in bad if finding.advice),
        detail="\n".join(finding.text for finding in bad[1:]) or None,
    )


def _check_hardware(spec: RunSpec, gpus: Sequence[Gpu]) -> list[Finding]:
    """Say in how many processes the run trains, and whether they can be had."""
    count = spec.hardware.processes_on(len(gpus))
    strategy = spec.hardware.strategy(count)
    if strategy is None:
        return []
    training = spec.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    where = f"GPUs {', '.join(str(gpu.index) for gpu in gpus)}" if gpus else "the CPU"
    said = f"{count} processes on {where}, {strategy_name(strategy)}: {count} x {rows} rows a step"
    findings = [Finding("note", said)]
    if isinstance(strategy, DeepSpeedStrategy) and not has_deepspeed():
        findings.append(Finding("bad", *NO_DEEPSPEED))
    if sharding_kind(strategy) == "zero3":
        reads = f"each of the {count} processes reads the whole model into the host's memory first"
        once = "with too little of it set hardware.distributed.kind to fsdp, which reads it once"
        findings.append(Finding("note", f"{strategy_name(strategy)}: {reads}", once))
    cores = len(os.sched_getaffinity(0))
    if not gpus and count > cores:
        few = f"hardware.cpu_processes is {count}, and this machine has {cores} cores"
        findings.append(Finding("warning", few, f"set it to {max(2, cores)} or less"))
    if len({gpu.name for gpu in gpus}) > 1:
        names = ", ".join(f"{gpu.index} {gpu.name}" for gpu in gpus)
        unlike = f"the GPUs are not of one kind ({names}): all wait for the slowest and smallest"
        findings.append(Finding("warning", unlike))
    return findings


def _check_objective(spec: RunSpec) -> list[Finding]:
    """Look at what cannot go together, or is hardly meant so."""
    findings = [Finding("bad", one.reason, one.advice) for one in impossible(spec)]
    findings += [Finding("bad", fault.reason, fault.advice) for fault in passed_on_faults(spec)]
    misfit = adapter_misfit(spec)
    if misfit is not None:
        findings.append(Finding("bad", *misfit))
    unfit = model_misfit(spec)
    if unfit is not None:
        findings.append(Finding("bad", *unfit))
    findings += check_rewards(spec)
    for unusual in (far_learning_rate(spec), dear_divergence(spec)):
        if unusual is not None:
            findings.append(Finding("warning", *unusual))
    if spec.training.eval_steps is None and (spec.data.eval or spec.data.eval_fraction):
        findings.append(_looked_at_seldom(spec))
    if spec.objective.kind == "pretraining" and not spec.training.packing:
        findings.append(
            Finding(
                "note",
                "without packing, every text shorter than training.max_length is padded",
                "set training.packing to true",
            )
        )
    return findings


def _looked_at_seldom(spec: RunSpec) -> Finding:
    """Say when rows are looked at that are held out from a run without evaluations on its way."""
    way = "set training.eval_steps, to 0.1 for ten looks or 0.5 for two"
    if evaluates_last(spec):
        once = "training.eval_steps is null: the held-out rows are evaluated once, at the end"
        return Finding("note", once, way)
    named = "data.eval is set" if spec.data.eval else "data.eval_fraction takes rows away"
    unseen = f"{named}, and training.eval_steps is null: no held-out row is ever looked at"
    return Finding("warning", unseen, way)


def check_data(spec: RunSpec) -> list[Finding]:
    """Return what is found in the first rows of the data, or of what will be fetched."""
    on_hub = wanted_of(spec)
    uses: tuple[tuple[Use, str | None, str], ...] = (
        ("train", spec.data.train, "training"),
        ("eval", spec.data.eval, "evaluation"),
    )
    findings = _check_idle_fields(spec, on_hub)
    for name, path, use in uses:
        if name in on_hub:
            findings += _check_hub_data(spec, on_hub[name], name, use)
        elif path:
            findings += _check_file(spec, Path(path), use)
    mix = spec.data.mix
    if mix is not None:
        how = {"format": mix.format, "columns": mix.columns}
        alone = spec.model_copy(update={"data": spec.data.model_copy(update=how)})
        findings += _check_file(alone, Path(mix.train), "mixed in")
    ewc = getattr(spec.method, "ewc", None)
    if ewc is not None and ewc.train is not None:
        how = {"format": ewc.format, "columns": ewc.columns}
        data = spec.data.model_copy(update=how)
        alone = spec.model_copy(update={"data": data, "objective": PretrainingObjective()})
        findings += _check_file(alone, Path(ewc.train), "old task's")
    return findings


def _check_idle_fields(spec: RunSpec, on_hub: Mapping[Use, Wanted]) -> list[Finding]:
    """Say which fields are given that only data sets on the Hub have."""
    data = spec.data
    fields: tuple[tuple[str, str | None, bool], ...] = (
        ("config", data.config, "train" in on_hub),
        ("revision", data.revision, "train" in on_hub),
        ("train_split", data.train_split, "train" in on_hub),
        ("eval_split", data.eval_split, "eval" in on_hub),
    )
    return [
        Finding("warning", f"data.{name} is for data sets on the Hub, and does nothing here")
        for name, value, counts in fields
        if value is not None and not counts
    ]


def _check_hub_data(spec: RunSpec, wanted: Wanted, name: Use, use: str) -> list[Finding]:
    """Say what will be fetched, or why it cannot be; rows that are here already are looked at."""
    info = dataset_info(wanted.id, wanted.revision)
    rows = on_this_machine(wanted, info.commit if info.where == "hub" else None)
    if rows is not None:
        why = f" ({info.reason})" if info.where != "hub" and info.reason else ""
        note = Finding("note", f"{use} data: {wanted.id} is on this machine already{why}")
        return [note, *_check_file(spec, rows, use)]
    bad = hub_data.why_not(wanted, info, f"data.{name}_split")
    if bad is not None:
        return [Finding("bad", *bad)]
    findings = [Finding("note", f"{use} data: {hub_data.said(wanted, info)}")]
    if info.gated:
        findings.append(Finding("warning", info.reason or f"{wanted.id} is gated"))
    size, free = hub_data.size_of(wanted, info), free_bytes(paths.home())
    needed = (size or 0) * hub_data.COPIES
    if needed > free:
        what = f"{text.size(size)} of {wanted.id} are fetched, kept as tables and as rows: "
        what += f"about {text.size(needed)}, and {text.size(free)} are free"
        findings.append(Finding("warning", what, "set FTUI_HOME and HF_HOME to a larger disk"))
    return findings


def _check_file(spec: RunSpec, path: Path, use: str) -> list[Finding]:
    """Look at the first rows of a data file: enough to know its format, quick on any size."""
    try:
        looked_at = list(islice(read_rows(path), _ROWS_LOOKED_AT))
        rows = [row for row in looked_at if not isinstance(row, BadLine)]
        bad = [row for row in looked_at if isinstance(row, BadLine)]
        if not rows:
            first = f": line {bad[0].line}: {bad[0].reason}" if bad else ""
            return [Finding("bad", f"{path} holds no usable row{first}", "check the file")]
        detection = detect(rows, format=spec.data.format, columns=spec.data.columns)
    except DataError as error:
        return [Finding("bad", str(error))]
    unfit = objective_refusal(spec.objective.kind, detection, rows) or unanswered_refusal(
        spec, detection.format, detection.columns
    )
    if unfit is not None:
        return [Finding("bad", f"{path}: {unfit}")]
    findings = [
        Finding("note", f"{use} data: {detection.format} ({detection.reason})"),
    ]
    if bad:
        findings.append(
            Finding(
                "warning",
                f"{len(bad)} of the first {len(looked_at)} rows of {path} cannot be read and are "
                f"left out; the first is line {bad[0].line}: {bad[0].reason}",
            )
        )
    if len(looked_at) < _FEW_ROWS and use == "training":
        findings.append(
            Finding(
                "warning",
                f"only {len(rows)} training rows: the model will learn them by heart",
                "below some hundred rows, examples in the prompt usually do better",
            )
        )
    return findings


def _check_model(model: ModelLocation, base: Base) -> list[Finding]:
    reason = model.reason or ""
    if base.refused is not None:
        return [Finding("bad", *base.refused)]
    found = _found(model, reason)
    return [*found, Finding("note", base.note)] if base.note else found


def _found(model: ModelLocation, reason: str) -> list[Finding]:
    match model.where:
        case "missing" | "gated":
            return [Finding("bad", reason, "set model.name_or_path to a folder or a Hub id")]
        case "unknown":
            return [Finding("warning", reason)]
        case "hub":
            return [Finding("note", f"{_fetched(model)} from the Hub first")]
        case _:
            return []


def _fetched(model: ModelLocation) -> str:
    adapter, size = model.adapter, text.size(model.weights_bytes)
    if adapter is None or adapter.is_here:
        return f"the model is fetched ({size})"
    own = f"the adapter {adapter.name} ({text.size(adapter.size)}) is fetched"
    if model.path is not None:
        return own
    return f"{own} with the model that it belongs on, {adapter.base} ({size}),"


def _check_template(spec: RunSpec) -> list[Finding]:
    said = spec.model.chat_template
    if said is None:
        return []
    problem = template_problem(said)
    if problem is not None:
        return [Finding("bad", problem)]
    return [Finding("note", f"chat template {said}: {SHIPPED[said]}")] if said in SHIPPED else []


def _check_gpus(spec: RunSpec, gpus: Sequence[Gpu], model: ModelLocation) -> list[Finding]:
    """Compare each GPU's free memory with what no run of this method can do without.

    The least is the weights as the method holds them, and for full fine-tuning gradients and two
    Adam states beside them; activations come on top. So this only ever finds the plainly too small.
    """
    if not gpus or not model.weights_bytes:
        return []
    method = spec.method.kind
    factor = {"full": 4.0, "qlora": 0.3}.get(method, 1.0)
    strategy = spec.hardware.strategy(len(gpus))
    shared = strategy is not None and sharding_kind(strategy) in ("fsdp", "zero3")
    least = int(model.weights_bytes * factor) // (len(gpus) if shared else 1)
    findings = []
    for gpu in gpus:
        if gpu.memory_free_bytes is None or gpu.memory_free_bytes >= least:
            continue
        holders = ", ".join(
            f"{process.user or 'someone'} (pid {process.pid}, {text.memory(process.memory_bytes)})"
            for process in gpu.processes
        )
        findings.append(
            Finding(
                "warning",
                f"GPU {gpu.index} has {text.memory(gpu.memory_free_bytes)} free of "
                f"{text.memory(gpu.memory_total_bytes)}; {method} needs at least "
                f"{text.memory(least)} for the weights alone, so memory will most likely run out"
                + (f". The rest is held by {holders}" if holders else ""),
                "wait for a free GPU, or take qlora or a smaller model",
            )
        )
    return findings


def _check_trackers(spec: RunSpec) -> list[Finding]:
    """Say which trackers are not there: the run goes on without them."""
    return [
        Finding(
            "warning",
            f"tracking.report_to names {name}, which is not installed: it will get no figures",
            f"pip install 'tui-ft[{name}]'",
        )
        for name in missing_trackers(spec)
    ]


def _check_output(output: Path) -> list[Finding]:
    existing = existing_part(output)
    if os.access(existing, os.W_OK | os.X_OK):
        return []
    return [Finding("bad", f"{existing} cannot be written", "set FTUI_HOME to a folder of yours")]
