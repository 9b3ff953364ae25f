"""Whether what a run writes has room on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from tui_ft import text
from tui_ft.hub import ModelLocation
from tui_ft.memory.model_facts import model_facts
from tui_ft.runs.checkpoint_sizes import (
    BEST_AND_LAST,
    CheckpointSize,
    budget_bytes,
    checkpoint_size,
    most_at_once,
)
from tui_ft.runs.checks.finding import Finding
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE


def check_disk(spec: RunSpec, output: Path, model: ModelLocation, merged: int = 0) -> list[Finding]:
    """Compare what the run will write with what is free.

    Args:
        spec: the run.
        output: its folder.
        model: where its model is.
        merged: bytes of a merged copy of the model that is made first.
    """
    existing, free = existing_part(output), free_bytes(output)
    weights = model.weights_bytes or 0
    size = None
    if model.where not in ("missing", "gated"):
        size = checkpoint_size(spec, model_facts(spec.model.name_or_path, spec.model.revision))
    one = size.total if size else _rough_checkpoint(spec, weights)
    output_size = size.weights if size else one // 3
    budget = spec.output.checkpoint_budget
    allowed = None if budget is None else budget_bytes(budget, output, 0)
    most = most_at_once(spec, one, allowed)
    findings = []
    if size is not None and spec.training.save_steps is not None:
        findings.append(_said_of_checkpoints(size, most, free))
    if allowed is not None and one * BEST_AND_LAST > allowed:
        what = f"output.checkpoint_budget of {text.size(allowed)} holds less than the best and the "
        what += f"last checkpoint ({BEST_AND_LAST} x {text.size(one)}), and both are kept"
        findings.append(Finding("warning", what, "raise it, or train fewer weights"))
    fetched = weights if model.where == "hub" and model.path is None else 0
    if model.adapter is not None and not model.adapter.is_here:
        fetched += model.adapter.size or 0
    # EWC keeps the old weights, and as much again for how much each of them matters.
    held_to = 2 * output_size if getattr(spec.method, "ewc", None) is not None else 0
    needed = one * most + output_size + fetched + merged + held_to
    if not one or needed <= free:
        return findings
    what = f"about {text.size(needed)} will be written, and {text.size(free)} are free"
    advice = "lower training.save_total_limit, set output.checkpoint_budget, or FTUI_HOME to a "
    advice += "larger disk"
    severe = one + output_size + merged > free
    severity: Literal["bad", "warning"] = "bad" if severe else "warning"
    return [*findings, Finding(severity, f"disk {existing}: {what}", advice)]


def _said_of_checkpoints(size: CheckpointSize, most: int, free: int) -> Finding:
    states = f"optimizer states {text.size(size.states)}"
    if not size.certain:
        states += " if they are like AdamW's"
    said = f"checkpoints: at most {most} of {text.size(size.total)} at once (weights "
    said += f"{text.size(size.weights)}, {states}): {text.size(most * size.total)} of "
    return Finding("note", f"{said}{text.size(free)} free")


def _rough_checkpoint(spec: RunSpec, weights: int) -> int:
    """Return about what a checkpoint takes of a model that cannot be counted.

    Full fine-tuning holds the weights and two optimizer states of the same size; an adapter a small
    part of that. At rank 16 on all linear layers of a 7B model it is 3 x 160 MB, 3.5 % of the
    16-bit weights; the share grows with the rank.
    """
    method = spec.method
    if method.kind in TRAINS_BASE:
        return 3 * weights
    # All others train fewer weights than LoRA of rank 1.
    rank = getattr(method, "r", getattr(method, "init_r", 1))
    return int(weights * 0.0022 * rank)


def existing_part(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))


def free_bytes(folder: Path) -> int:
    """Return what is free where ``folder`` is or will be."""
    return shutil.disk_usage(existing_part(folder)).free
