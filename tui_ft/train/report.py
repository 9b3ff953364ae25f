"""What a run leaves: the trained weights, and its outcome in figures."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from tui_ft import paths
from tui_ft.hub.class_names import names_of, write_classes
from tui_ft.hub.outputs import bases_of
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.ladder import rungs_of
from tui_ft.runs.link import WorkerLink
from tui_ft.runs.prediction import read_prediction
from tui_ft.train.callback import folder_bytes
from tui_ft.train.model import as_for_use
from tui_ft.train.optimizers import show_averages
from tui_ft.train.several.together import Ranks

_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes")


@dataclass(slots=True)
class Outcome:
    """What is known at the end; times in seconds of this attempt, tokens of all attempts.

    Attributes:
        evaluation: the figures of the held-out rows for the weights that are kept.
    """

    steps: int
    epochs: float
    train_loss: float | None
    eval_loss: float | None
    best_step: int | None
    seconds: float
    tokens: int
    objective: str = "sft"
    evaluation: Mapping[str, float | None] = field(default_factory=dict)
    scores: dict[str, ev.Score] = field(default_factory=dict)
    plan: ev.Plan | None = None
    memory: ev.PeakMemory | None = None


def save_weights(
    trainer: Any,  # noqa: ANN401 - transformers is untyped here
    tokenizer: Any,  # noqa: ANN401
    folder: RunFolder,
    link: WorkerLink,
    ranks: Ranks,
) -> Path:
    """Write the adapter, or the whole model, and its tokenizer; say where and how large.

    All ranks take part: weights that are shared out are brought together, and the first one writes.

    Raises:
        OSError: they cannot be written.
    """
    output = folder.output_dir()
    link.send(ev.Phase(phase="save", text=f"saves the {output.name}"))
    paths.make_private_dir(output)
    show_averages(trainer.optimizer)
    with _whole_weights(trainer), as_for_use(trainer.model):
        trainer.save_model(str(output))
    ranks.wait()
    if not ranks.is_first:
        return output
    if trainer.initial_adapter is not None:
        trainer.model.save_pretrained(
            str(output), path_initial_model_for_weight_conversion=str(trainer.initial_adapter)
        )
    # A pickle, which nobody should have to load; run.yaml says the same and more.
    (output / "training_args.bin").unlink(missing_ok=True)
    names = names_of(getattr(getattr(trainer.model, "config", None), "id2label", None))
    if output.name == "adapter" and len(names) > 1:  # of classes; who loads it has to know them
        write_classes(output, names)
    tokenizer.save_pretrained(str(output))
    link.send(ev.Artifact(kind=output.name, path=output.name, bytes=folder_bytes(output)))
    return output


@contextlib.contextmanager
def _whole_weights(trainer: Any) -> Iterator[None]:  # noqa: ANN401
    """Let FSDP give the weights as a run in one process would, however checkpoints are written."""
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None:
        plugin.set_state_dict_type("FULL_STATE_DICT")
    yield


def write_report(folder: RunFolder, outcome: Outcome, output: Path) -> None:
    """Write `report.json`."""
    predicted = read_prediction(folder)
    model = folder.spec().model
    report: Mapping[str, Any] = {
        "run": folder.id,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "objective": outcome.objective,
        "bases": bases_of(model.name_or_path, model.revision),
        "steps": outcome.steps,
        "epochs": outcome.epochs,
        "train_loss": outcome.train_loss,
        "eval_loss": outcome.eval_loss,
        "best_step": outcome.best_step,
        "evaluation": dict(outcome.evaluation),
        "tokens": outcome.tokens,
        "seconds": round(outcome.seconds, 1),
        "scores": {when: s.values | {"rows": s.rows} for when, s in outcome.scores.items()},
        "output": {"kind": output.name, "path": str(output), "bytes": folder_bytes(output)},
        "plan": _plain(outcome.plan),
        "peak_memory": _plain(outcome.memory),
        "predicted_memory": None if predicted is None else msgspec.to_builtins(predicted),
        "rungs": [
            {"changes": rung.changes, "was": rung.was, "reason": rung.reason}
            for rung in rungs_of(folder)
        ],
        "versions": {name: version(name) for name in _LIBRARIES},
    }
    paths.write_atomically(folder.report_file, json.dumps(report, indent=2))


def _plain(event: ev.Plan | ev.PeakMemory | None) -> dict[str, Any] | None:
    if event is None:
        return None
    facts: dict[str, Any] = json.loads(ev.encode(event))
    return {k: v for k, v in facts.items() if k not in ("t", "seq", "type")}
