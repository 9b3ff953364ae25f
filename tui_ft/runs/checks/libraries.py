"""Libraries beside torch that a run asks for: whether they are there, and of use where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tui_ft.hardware import Gpu
from tui_ft.runs.checks.finding import Finding
from tui_ft.spec import RunSpec
from tui_ft.spec.kernels import (
    FLASH,
    HUB_KERNELS,
    is_installed,
    kernels_asked,
    why_not,
    wrong_kernels,
)
from tui_ft.spec.optimizers import OPTIMIZERS, SCHEDULE_FREE
from tui_ft.spec.versions import unmet

_SHARED_WITH_UNSLOTH: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes")


def check_libraries(spec: RunSpec, gpus: Sequence[Gpu]) -> list[Finding]:
    """Return what is found of the backend, the optimizer, the attention and the kernels."""
    return [
        *_check_backend(spec, gpus),
        *_check_optimizer(spec, gpus),
        *_check_attention(spec, gpus),
        *_check_kernels(spec, gpus),
        *_check_packing(spec),
    ]


def _check_optimizer(spec: RunSpec, gpus: Sequence[Gpu]) -> list[Finding]:
    training = spec.training
    needs, named = OPTIMIZERS[training.optim], f"training.optim: {training.optim}"
    if needs.module and not is_installed(needs.module):
        reason = f"{named} needs {needs.package}, which is not here"
        return [Finding("bad", reason, f"`pip install {needs.package}`")]
    findings = []
    if needs.cuda and not gpus and spec.hardware.gpus != "none":
        reason = f"{named} keeps its states on an NVIDIA GPU, and the run has none"
        findings.append(Finding("bad", reason, "set training.optim to adamw_torch, or adafactor"))
    if needs.forgets:
        anew = ", and its schedule," if needs.layerwise and needs.targets else ""
        reason = (
            f"{named} is not in checkpoints: a run that is resumed begins its states{anew} anew"
        )
        findings.append(Finding("warning", reason, "let the run go through, or take adamw_torch"))
    if needs.layerwise and training.max_grad_norm > 0:
        reason = (
            f"{named} steps before all gradients are there: training.max_grad_norm does nothing"
        )
        findings.append(Finding("warning", reason, "set it to 0, with a lower learning_rate"))
    if training.optim in SCHEDULE_FREE and training.lr_scheduler_type != "constant":
        falls = training.lr_scheduler_type
        reason = f"{named} averages weights in place of a falling rate, and {falls} has one too"
        advice = "set training.lr_scheduler_type to constant, and warmup_steps to a number of steps"
        findings.append(Finding("warning", reason, advice))
    return findings


def _check_attention(spec: RunSpec, gpus: Sequence[Gpu]) -> list[Finding]:
    """Say why FlashAttention cannot be had: transformers would only say so with the model there."""
    asked = spec.model.attn_implementation
    known = FLASH.get(asked)
    if known is None:
        return []
    named, back = f"model.attn_implementation: {asked}", "set it to auto"
    if not gpus:
        return (
            []  # the table of combinations says so
            if spec.hardware.gpus == "none"
            else [Finding("bad", f"{named} runs on NVIDIA GPUs, and the run has none", back)]
        )
    findings = []
    for gpu in gpus:
        found = gpu.compute_capability
        if found is not None and found[0] not in known.majors:
            can = " and ".join(f"{major}.x" for major in known.majors)
            reason = (
                f"{named} takes compute capability {can}, and GPU {gpu.index} ({gpu.name}) has "
                f"{found[0]}.{found[1]}"
            )
            findings.append(Finding("bad", reason, back))
    if not is_installed(known.module):
        if is_installed(HUB_KERNELS) and not wrong_kernels():
            said = f"{named}: {known.package} is not here; the Hub's {known.kernel} is fetched"
            findings.append(Finding("note", said))
        else:
            advice = f"`pip install {known.package}`, or `pip install kernels`, or {back}"
            findings.append(Finding("bad", f"{named} needs {known.package}", advice))
    return findings


def _check_kernels(spec: RunSpec, gpus: Sequence[Gpu]) -> list[Finding]:
    findings = []
    for key, asked in kernels_asked(spec).items():
        if asked is False:
            continue
        reason_why = why_not(spec, key, on_gpu=bool(gpus))
        if asked == "auto":
            said = f"{key}: used" if reason_why is None else f"not used: {reason_why[0]}"
            findings.append(Finding("note", said))
        elif reason_why is not None:
            findings.append(Finding("bad", *reason_why))
    return findings


def _check_packing(spec: RunSpec) -> list[Finding]:
    training = spec.training
    between = (
        training.packing
        and training.packing_strategy != "wrapped"
        and training.per_device_train_batch_size > 1
        and spec.model.attn_implementation not in FLASH
    )
    if not between:
        return []
    return [
        Finding(
            "note",
            f"packing: the {training.per_device_train_batch_size} rows of a pass are one "
            "sequence, and attention other than FlashAttention is computed between them too",
            "take per_device_train_batch_size 1 and as many more gradient_accumulation_steps",
        )
    ]


def _check_backend(spec: RunSpec, gpus: Sequence[Gpu]) -> list[Finding]:
    """Say why the backend that is asked for cannot be had."""
    if spec.model.backend != "unsloth":
        return []
    back = "set model.backend to transformers"
    if not is_installed("unsloth"):
        reason = "model.backend is unsloth, which is not installed"
        return [Finding("bad", reason, f"pip install 'tui-ft[unsloth]', or {back}")]
    if not gpus:
        reason = "model.backend unsloth takes an NVIDIA GPU, and the run has none"
        return [Finding("bad", reason, back)]
    return [
        Finding(
            "warning",
            f"Unsloth asks for {asked}, and {found} is installed: it has not been tried with that",
            f"a virtual environment of its own with what it asks for, or {back}",
        )
        for asked, found in unmet("unsloth", _SHARED_WITH_UNSLOTH)
    ]
