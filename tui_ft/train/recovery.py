"""What a checkpoint knows and the history does not: steps whose figures died with their worker.

A worker that is killed takes the figures of its last moments with it, while the checkpoint it had
just saved holds them: resuming from there, they are put back, so that the curve has no hole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tui_ft.runs import events as ev
from tui_ft.runs.history import RunHistory
from tui_ft.train.callback import figures


def lost_figures(history: RunHistory, checkpoint: Path) -> list[ev.Metrics | ev.Evaluation]:
    """Return the figures up to ``checkpoint`` that ``history`` lacks, in order.

    The trainer counts tokens from zero in every attempt; here they go on from the last one known.
    When they were logged is not known: they carry no time of their own.
    """
    logged = _log_history(checkpoint)
    losses, tokens = history.series("loss"), history.series("tokens")
    reached = losses.x[-1] if losses.x else 0
    evaluated = history.evaluations.get("eval_loss")
    evaluated_to = evaluated.x[-1] if evaluated and evaluated.x else 0
    counted = next((e.get("num_tokens", 0) for e in logged if e.get("step") == reached), 0)
    before = (tokens.last() or 0.0) - counted
    found: list[ev.Metrics | ev.Evaluation] = []
    for entry in logged:
        step, epoch = int(entry.get("step", 0)), float(entry.get("epoch") or 0.0)
        if "loss" in entry and step > reached:
            values = figures(entry, prefix="")
            if values.get("tokens") is not None:
                values["tokens"] = before + float(entry["num_tokens"])
            found.append(ev.Metrics(step=step, epoch=epoch, values=values))
        elif "eval_loss" in entry and step > evaluated_to:
            values = figures(entry, prefix="eval_")
            found.append(ev.Evaluation(step=step, epoch=epoch, values=values))
    return found


def _log_history(checkpoint: Path) -> list[dict[str, Any]]:
    """Return what the trainer logged up to its checkpoint; nothing if that cannot be read."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return []
    logged = state.get("log_history") if isinstance(state, dict) else None
    return [entry for entry in logged or [] if isinstance(entry, dict)]
